//! Where the alerts of a Budget may be sent: said in its status when it is compiled, and held to when they are. Pure.
//!
//! Who may write a Budget must not reach by the operator what hands out the credentials of its machine: no address is called
//! that clouds keep for that. Whatever else the operator can reach is for NetworkPolicies to bound.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::Uri;

/// Of AWS by IPv6, of machines and of pods, of Alibaba Cloud, and of Azure. All others are link-local.
const METADATA: [IpAddr; 4] = [
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
];

/// The URL that alerts are sent to. Within a cluster few receivers have a certificate, so that plain HTTP is one.
///
/// # Errors
/// What is wrong with it, without any of it: it may be a secret.
pub fn url(text: &str) -> Result<Uri, &'static str> {
    let uri: Uri = text.parse().map_err(|_| "is no URL: give one such as https://alerts.example.com/llm")?;
    let host = uri.host().unwrap_or_default();
    if !matches!(uri.scheme_str(), Some("https" | "http")) || host.is_empty() {
        return Err("is no URL that starts with https:// or http:// and names a host");
    }
    match host.trim_matches(['[', ']']).parse() {
        Ok(address) if !may_be_called(address) => Err(
            "names a link-local address, or one where a cloud keeps credentials: alerts are not sent there",
        ),
        _ => Ok(uri),
    }
}

/// Whether alerts are sent to this address, by whichever name.
#[must_use]
pub fn may_be_called(address: IpAddr) -> bool {
    let address = without_nat64(address.to_canonical());
    let is_link_local = match address {
        IpAddr::V4(address) => address.is_link_local() || address.is_unspecified(),
        IpAddr::V6(address) => address.is_unicast_link_local() || address.is_unspecified(),
    };
    !is_link_local && !METADATA.contains(&address)
}

/// A gateway between IPv6 and IPv4 calls what the last four bytes say (RFC 6052).
fn without_nat64(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(six) if six.segments()[..6] == [0x64, 0xff9b, 0, 0, 0, 0] => {
            let [.., a, b, c, d] = six.octets();
            IpAddr::V4(Ipv4Addr::new(a, b, c, d))
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_go_anywhere_but_to_where_credentials_are() {
        for good in [
            "https://hooks.example.com/services/T0?x=y",
            "http://alerts.monitoring.svc:8080/",
            "http://10.0.0.7/",
            "http://[fd00::7]:80/",
            "http://127.0.0.1:9/",
        ] {
            assert!(url(good).is_ok(), "{good}");
        }
        for (bad, why) in [
            ("not a url", "such as https://"),
            ("/path", "https:// or http://"),
            ("ftp://hooks.example.com/", "https:// or http://"),
            ("http://169.254.169.254/latest/meta-data/", "credentials"),
            ("https://[fe80::1]/", "credentials"),
            ("http://[fd00:ec2::254]/", "credentials"),
            ("http://[::ffff:169.254.169.254]/", "credentials"),
            ("http://[fd00:ec2::23]/", "credentials"),
            ("http://[64:ff9b::169.254.169.254]/", "credentials"),
            ("http://100.100.100.200/", "credentials"),
            ("http://168.63.129.16/", "credentials"),
            ("http://0.0.0.0/", "credentials"),
        ] {
            assert!(url(bad).is_err_and(|said| said.contains(why)), "{bad}: {:?}", url(bad));
        }
    }
}
