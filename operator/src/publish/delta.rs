//! What leads from what proxies hold to what they should hold, written out once: most proxies of a fleet hold the
//! same, and a thousand of them get the same bytes.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use llm_config::{
    exposed,
    section::{Key, Sections, Update},
};

use super::Digests;

/// States of proxies that are remembered for one target. More are there only while proxies come back from several
/// older ones.
const REMEMBERED: usize = 8;
/// Below this an update goes out in one piece.
const SMALL: usize = 8 * 1024;
/// Pieces of a line, at most.
pub const PIECES: usize = 3;

/// An update, but for its number and what is one proxy's alone.
#[derive(Debug, Default)]
pub struct Delta {
    /// `"key":{…},"key":{…}`.
    put: Bytes,
    /// `["key","key"]`, or nothing.
    remove: Bytes,
}

impl Delta {
    fn between(holds: &Digests, target: &Sections) -> Self {
        let Update { put, remove, .. } = Update::between(0, holds, target, &Sections::new());
        let entries = Bytes::from(json(&put));
        Self {
            // So that more fit in.
            put: entries.slice_ref(inner(&entries)),
            remove: if remove.is_empty() { Bytes::new() } else { json(&remove).into() },
        }
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.put.is_empty() && self.remove.is_empty()
    }

    /// The update's line, with its number and with what of this proxy's own it should hold now and hold no more; the
    /// long piece is shared.
    pub fn line(&self, generation: u64, own: &Sections, gone: &[Key]) -> Vec<Bytes> {
        let mut head = format!("{{\"generation\":{generation}").into_bytes();
        let mut tail = Vec::new();
        if !own.is_empty() || !self.put.is_empty() {
            head.extend_from_slice(b",\"put\":{");
            if !own.is_empty() {
                let entries = json(own);
                head.extend_from_slice(inner(&entries));
                if !self.put.is_empty() {
                    head.push(b',');
                }
            }
            tail.push(b'}');
        }
        if !gone.is_empty() || !self.remove.is_empty() {
            let gone = json(&gone);
            let parts = [inner(&self.remove), inner(&gone)];
            let parts: Vec<&[u8]> = parts.into_iter().filter(|part| !part.is_empty()).collect();
            tail.extend_from_slice(b",\"remove\":[");
            tail.extend_from_slice(&parts.join(&b','));
            tail.push(b']');
        }
        tail.extend_from_slice(b"}\n");
        if self.put.len() < SMALL {
            return vec![[&head, self.put.as_ref(), &tail].concat().into()];
        }
        vec![head.into(), self.put.clone(), tail.into()]
    }
}

/// Without its braces or brackets.
fn inner(json: &[u8]) -> &[u8] {
    json.get(1..json.len().saturating_sub(1)).unwrap_or_default()
}

/// With its secrets, for the proxy needs them. Strings and numbers only: it can't fail.
fn json(value: &impl serde::Serialize) -> Vec<u8> {
    exposed(|| serde_json::to_vec(value)).unwrap_or_default()
}

/// The deltas to one target, by what proxies hold.
#[derive(Debug, Default)]
pub struct Deltas(Mutex<Vec<(Arc<Digests>, Arc<Delta>)>>);

impl Deltas {
    /// What leads from there to the target. Holders of one allocation share the answer; who waits for it meanwhile
    /// would work out the same.
    pub fn from(&self, holds: &Arc<Digests>, target: &Sections) -> Arc<Delta> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, delta)) = known.iter().find(|(from, _)| Arc::ptr_eq(from, holds)) {
            return delta.clone();
        }
        let delta = Arc::new(Delta::between(holds, target));
        if known.len() == REMEMBERED {
            known.remove(0);
        }
        known.push((holds.clone(), delta.clone()));
        delta
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use std::collections::BTreeMap;

    use llm_config::{
        Callers, Document, Route, Rule,
        section::{self, CALLERS, SHARES, Section, Stamped},
    };

    use super::*;
    use crate::publish::digest;

    fn sections(routes: &[(&str, &str)]) -> Sections {
        let route = |model: &str| {
            Arc::new(Route { rules: vec![Rule { models: vec![model.to_owned()], ..Rule::default() }] })
        };
        let routes = routes.iter().map(|(key, model)| ((*key).to_owned(), route(model))).collect();
        section::cut(&Document { routes, ..Document::default() }, &Sections::new(), digest)
    }

    fn own() -> Sections {
        let sections = [
            (CALLERS, Section::Callers(Callers::Pod(Default::default()))),
            (SHARES, Section::Shares(BTreeMap::new())),
        ];
        let stamped = |section| Stamped { digest: digest(&section), section: Arc::new(section) };
        sections.into_iter().map(|(key, section)| (key.to_owned(), stamped(section))).collect()
    }

    #[test]
    fn the_line_is_the_update_whatever_it_holds() {
        let long = "m".repeat(2 * SMALL);
        let (one, two) =
            (sections(&[("ns/a", "x"), ("ns/b", "x")]), sections(&[("ns/b", "y"), ("ns/c", &long)]));
        let (own, none, gone) = (own(), Sections::new(), ["a", "b"].map(str::to_owned));
        for target in [&one, &two, &Sections::new()] {
            for holds in [Digests::new(), section::digests(&one), section::digests(&two)] {
                for (own, gone) in [(&none, &[][..]), (&own, &[]), (&own, &gone), (&none, &gone)] {
                    let delta = Delta::between(&holds, target);
                    let pieces = delta.line(7, own, gone);
                    let mut update = Update::between(7, &holds, target, own);
                    update.remove.extend_from_slice(gone);
                    assert!(pieces.len() <= PIECES);
                    let line = pieces.concat();
                    assert_eq!(serde_json::from_slice::<Update>(&line).unwrap(), update);
                    assert!(line.ends_with(b"\n") && line.iter().filter(|b| **b == b'\n').count() == 1);
                    assert!(
                        line.starts_with(br#"{"generation":7"#),
                        "a proxy must find it in a line that is too long"
                    );
                    let is_empty = delta.is_empty() && own.is_empty() && gone.is_empty();
                    assert_eq!(is_empty, update.is_empty());
                }
            }
        }
    }

    #[test]
    fn who_holds_the_same_shares_what_is_sent_and_no_more_than_some_are_remembered() {
        let (deltas, target) = (Deltas::default(), sections(&[("ns/a", "x")]));
        let states: Vec<Arc<Digests>> = (0..2 * REMEMBERED)
            .map(|number| Arc::new(BTreeMap::from([(format!("route/ns/{number}"), "d".to_owned())])))
            .collect();
        for state in &states {
            assert!(Arc::ptr_eq(&deltas.from(state, &target), &deltas.from(state, &target)));
        }
        assert_eq!(deltas.0.lock().unwrap().len(), REMEMBERED);
    }
}
