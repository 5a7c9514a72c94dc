//! The proxies of all replicas as one list. Pure.

use std::{cmp::Reverse, collections::BTreeMap};

use serde::Serialize;

use crate::publish::attached::{
    listing::{AttachedProxy, Page, State},
    versions::Kind,
};

/// Who is connected, as the replicas tell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Listing {
    pub replicas: Vec<Replica>,
    /// Gateways first, then by fleet and name.
    pub proxies: Vec<Listed>,
    /// Proxies that are attached and that no replica listed.
    #[serde(skip_serializing_if = "is_zero")]
    pub omitted: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unreachable: Vec<Unreachable>,
}

/// A replica of the operator that told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Replica {
    pub name: String,
    pub version: String,
    pub leads: bool,
    #[serde(skip)]
    pub certificate: Option<Vec<u8>>,
    /// What it does for the ledger's settings can't be used as they are now, and why that is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ledger_refused: Option<String>,
}

/// One that told nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unreachable {
    pub admin: String,
    pub reason: String,
}

/// A proxy, and the replica that it is attached to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Listed {
    #[serde(flatten)]
    pub proxy: AttachedProxy,
    pub replica: String,
    /// The replica's version, where the proxy's is another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator_version: Option<String>,
}

/// Proxies by how they are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    pub proxies: usize,
    pub in_force: usize,
    pub lagging: usize,
    pub refusing: usize,
    /// Of another version than their operator.
    pub other_versions: usize,
    pub versions: BTreeMap<String, usize>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands references")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl Listing {
    /// Of what each replica told at `/debug/proxies`, by where it was asked.
    pub fn of(told: impl IntoIterator<Item = (String, Result<impl AsRef<[u8]>, String>)>) -> Self {
        let mut listing = Self::default();
        let mut latest: BTreeMap<(Kind, String), Listed> = BTreeMap::new();
        for (admin, answer) in told {
            let page = answer.and_then(|text| {
                serde_json::from_slice::<Page>(text.as_ref())
                    .map_err(|error| format!("answered no list of proxies: {error}"))
            });
            match page {
                Ok(page) => listing.take(page, &mut latest),
                Err(reason) => listing.unreachable.push(Unreachable { admin, reason }),
            }
        }
        listing.replicas.sort_by(|a, b| a.name.cmp(&b.name));
        listing.proxies = latest.into_values().collect();
        listing.proxies.sort_by(|a, b| {
            let by = |listed: &Listed| {
                let proxy = &listed.proxy;
                (proxy.kind, proxy.fleet.clone(), proxy.name.clone())
            };
            by(a).cmp(&by(b))
        });
        listing
    }

    fn take(&mut self, page: Page, latest: &mut BTreeMap<(Kind, String), Listed>) {
        self.omitted += page.omitted;
        for proxy in page.proxies {
            let listed = Listed {
                replica: page.replica.clone(),
                operator_version: (proxy.version != page.version).then(|| page.version.clone()),
                proxy,
            };
            // One that has gone to another replica is forgotten by the first a little later.
            let key = (listed.proxy.kind, listed.proxy.name.clone());
            match latest.get(&key) {
                Some(known) if known.proxy.attached_since >= listed.proxy.attached_since => {}
                _ => drop(latest.insert(key, listed)),
            }
        }
        let certificate = page.certificate.map(|der| der.0);
        let replica = Replica {
            name: page.replica,
            version: page.version,
            leads: page.leads,
            certificate,
            ledger_refused: page.ledger_refused,
        };
        self.replicas.push(replica);
    }

    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts::of(&self.proxies)
    }
}

impl Counts {
    pub fn of<'a>(proxies: impl IntoIterator<Item = &'a Listed>) -> Self {
        let mut counts = Self::default();
        for Listed { proxy, operator_version, .. } in proxies {
            counts.proxies += 1;
            counts.other_versions += usize::from(operator_version.is_some());
            *counts.versions.entry(proxy.version.clone()).or_default() += 1;
            match proxy.state {
                State::InForce => counts.in_force += 1,
                State::Lagging { .. } => counts.lagging += 1,
                State::Refused { .. } => counts.refusing += 1,
            }
        }
        counts
    }

    /// Its versions in a few words, the most frequent first: `0.1.0`, or `0.1.0 (9), 0.0.9 (1)`.
    #[must_use]
    pub fn shown_versions(&self) -> String {
        let mut versions: Vec<(&String, &usize)> = self.versions.iter().collect();
        versions.sort_by_key(|(version, count)| (Reverse(**count), (*version).clone()));
        match &versions[..] {
            [(version, _)] => (*version).clone(),
            several => {
                let each = several.iter().map(|(version, count)| format!("{version} ({count})"));
                each.collect::<Vec<_>>().join(", ")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use serde_json::{Value, json};

    use super::*;

    fn proxy(name: &str, kind: &str, version: &str, since: &str) -> Value {
        json!({"name": name, "kind": kind, "fleet": "gateway/g", "version": version, "attachedSince": since,
            "state": "InForce", "sections": {"held": 1, "wanted": 1}})
    }

    fn page(replica: &str, proxies: &[Value]) -> (String, Result<Vec<u8>, String>) {
        let page =
            json!({"replica": replica, "version": "0.1.0", "leads": replica == "b", "proxies": proxies});
        (format!("at {replica}"), Ok(page.to_string().into_bytes()))
    }

    #[test]
    fn replicas_are_one_list_and_a_proxy_that_moved_is_where_it_came_last() {
        let (early, late) = ("2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z");
        let listing = Listing::of([
            page("b", &[proxy("shop/w", "sidecar", "0.0.9", early), proxy("x", "gateway", "0.1.0", late)]),
            page("a", &[proxy("x", "gateway", "0.1.0", early), proxy("a", "gateway", "0.1.0", early)]),
            ("c".to_owned(), Err("gone".to_owned())),
            ("d".to_owned(), Ok(b"no page".to_vec())),
        ]);
        let shown: Vec<(&str, &str)> =
            listing.proxies.iter().map(|l| (l.proxy.name.as_str(), l.replica.as_str())).collect();
        assert_eq!(shown, [("a", "a"), ("x", "b"), ("shop/w", "b")]);
        assert_eq!(listing.proxies[2].operator_version.as_deref(), Some("0.1.0"));
        assert_eq!(
            listing.replicas.iter().map(|r| (r.name.as_str(), r.leads)).collect::<Vec<_>>(),
            [("a", false), ("b", true)]
        );
        assert_eq!(listing.unreachable[0].reason, "gone");
        assert!(listing.unreachable[1].reason.contains("no list of proxies"));
        let counts = listing.counts();
        assert_eq!((counts.proxies, counts.in_force, counts.other_versions), (3, 3, 1));
        assert_eq!(counts.shown_versions(), "0.1.0 (2), 0.0.9 (1)");
        let told = serde_json::to_value(&listing).unwrap();
        assert_eq!(
            (&told["proxies"][2]["state"], &told["proxies"][2]["operatorVersion"]),
            (&json!("InForce"), &json!("0.1.0"))
        );
    }
}
