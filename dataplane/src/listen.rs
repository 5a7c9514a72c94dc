//! Where callers connect: a plain port, a port with TLS, or both. All workers share them.

use std::{
    future::pending,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener as StdListener},
};

use tokio::net::{TcpListener, TcpStream};

use crate::tls::serving::{Handshake, Serving};

/// Takes a port. `[::]` is every address of the machine, those of IPv4 as well, unless the system keeps them apart
/// (`net.ipv6.bindv6only`, which it does not by default); where there is no IPv6, only those.
///
/// # Errors
/// When it can't be had.
pub fn take(address: SocketAddr) -> io::Result<StdListener> {
    StdListener::bind(address)
        .or_else(|error| StdListener::bind(by_ipv4(address, error.kind()).ok_or(error)?))
}

/// What stands in for an address that could not be taken.
fn by_ipv4(address: SocketAddr, why: io::ErrorKind) -> Option<SocketAddr> {
    let taken = matches!(why, io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied);
    let all = address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    (all && !taken).then(|| SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port())))
}

/// The ports, taken.
#[derive(Debug)]
pub struct Ports {
    pub plain: Option<StdListener>,
    pub tls: Option<(StdListener, Serving)>,
}

impl Ports {
    /// The same ports for another worker.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            plain: self.plain.as_ref().map(StdListener::try_clone).transpose()?,
            tls: match &self.tls {
                Some((listener, serving)) => Some((listener.try_clone()?, serving.clone())),
                None => None,
            },
        })
    }

    /// Ready to accept, in a runtime.
    pub fn listen(self) -> io::Result<Listeners> {
        Ok(Listeners {
            plain: self.plain.map(TcpListener::from_std).transpose()?,
            tls: match self.tls {
                Some((listener, serving)) => Some((TcpListener::from_std(listener)?, serving)),
                None => None,
            },
        })
    }
}

pub struct Listeners {
    plain: Option<TcpListener>,
    tls: Option<(TcpListener, Serving)>,
}

/// Who has connected.
pub struct Arrival {
    pub stream: TcpStream,
    pub peer: SocketAddr,
    /// What comes first, at the port with TLS.
    pub handshake: Option<Handshake>,
}

impl Listeners {
    pub async fn accept(&self) -> io::Result<Arrival> {
        tokio::select! {
            arrival = accept_plain(self.plain.as_ref()) => arrival,
            arrival = accept_tls(self.tls.as_ref()) => arrival,
        }
    }
}

async fn accept_plain(listener: Option<&TcpListener>) -> io::Result<Arrival> {
    let Some(listener) = listener else { return pending().await };
    let (stream, peer) = listener.accept().await?;
    Ok(Arrival { stream, peer, handshake: None })
}

async fn accept_tls(door: Option<&(TcpListener, Serving)>) -> io::Result<Arrival> {
    let Some((listener, serving)) = door else { return pending().await };
    // With as many at it as may be, new ones wait in the listener's queue.
    let handshake = serving.turn().await?;
    let (stream, peer) = listener.accept().await?;
    Ok(Arrival { stream, peer, handshake: Some(handshake) })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use std::net::TcpStream;

    use super::*;

    #[test]
    fn a_port_of_all_addresses_is_reached_by_either_protocol() {
        let listener = take("[::]:0".parse().unwrap()).unwrap();
        let port = listener.local_addr().unwrap().port();
        let own = |host: IpAddr| StdListener::bind((host, 0)).is_ok();
        for host in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
            // A machine may be without one of them.
            if own(host) {
                TcpStream::connect((host, port)).unwrap();
                listener.accept().unwrap();
            }
        }
    }

    #[test]
    fn a_machine_without_ipv6_listens_by_ipv4_and_nobody_shares_a_port_by_mistake() {
        let (all, ipv4): (SocketAddr, SocketAddr) =
            ("[::]:8080".parse().unwrap(), "0.0.0.0:8080".parse().unwrap());
        assert_eq!(by_ipv4(all, io::ErrorKind::Other), Some(ipv4));
        assert_eq!(by_ipv4(all, io::ErrorKind::AddrInUse), None);
        for one in ["[::1]:8080", "0.0.0.0:8080"] {
            assert_eq!(by_ipv4(one.parse().unwrap(), io::ErrorKind::AddrNotAvailable), None);
        }
    }
}
