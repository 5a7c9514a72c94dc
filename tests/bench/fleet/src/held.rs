//! What proxies hold, as keys and digests. A thousand proxies take the same step from the same state: it is worked
//! out once and shared, where each real proxy has a processor of its own for that.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use llm_config::section::{Digest, Key, Section, Update};
use sha2::{Digest as _, Sha256};

pub type Digests = std::collections::BTreeMap<Key, Digest>;

/// Below this, an update is read by each proxy.
const SMALL: usize = 64 * 1024;

/// The route whose changes are followed, and what was last seen of it.
pub type Revision = Option<u64>;

/// Where an update leads.
#[derive(Clone, Debug)]
pub struct Step {
    pub generation: u64,
    pub holds: Arc<Digests>,
    /// What the update says of the route that is followed.
    pub revision: Revision,
}

/// From which state, by what: the state is kept, so that its address is its name.
type Known = (Arc<Digests>, Arc<Digests>, Revision);

/// Steps that were taken already.
#[derive(Debug)]
pub struct Steps {
    /// What who is new holds: one allocation for all, or each would take every step of its own from there on.
    pub nothing: Arc<Digests>,
    /// `route/namespace/name`.
    followed: Key,
    known: Mutex<HashMap<(usize, [u8; 32]), Known>>,
}

impl Steps {
    pub fn new(followed: Key) -> Self {
        Self { nothing: Arc::default(), followed, known: Mutex::default() }
    }

    /// What a proxy holds after the update of this line.
    pub fn take(&self, from: &Arc<Digests>, line: &[u8]) -> Result<Step, String> {
        let update: Option<Update> = if line.len() < SMALL { Some(read(line)?) } else { None };
        // The generation is the connection's own; all else is shared.
        let (generation, rest) = split(line).ok_or("an update must begin with its generation")?;
        let name = (Arc::as_ptr(from) as usize, Sha256::digest(rest).into());
        if let Some((_, holds, revision)) = self.lock().get(&name) {
            return Ok(Step { generation, holds: holds.clone(), revision: *revision });
        }
        let update = match update {
            Some(update) => update,
            None => read(line)?,
        };
        let mut digests = from.as_ref().clone();
        for key in &update.remove {
            digests.remove(key);
        }
        let revision = update.put.get(&self.followed).and_then(|stamped| match stamped.section.as_ref() {
            Section::Route(route) => Some(route.rules.first()?.timeouts.request_ms),
            _ => None,
        });
        digests.extend(update.put.into_iter().map(|(key, stamped)| (key, stamped.digest)));
        let holds = Arc::new(digests);
        self.lock().insert(name, (from.clone(), holds.clone(), revision));
        Ok(Step { generation, holds, revision })
    }

    /// Forgets all steps: what they lead to is kept by those who hold it.
    pub fn forget(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(usize, [u8; 32]), Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(line: &[u8]) -> Result<Update, String> {
    serde_json::from_slice(line).map_err(|error| error.to_string())
}

fn split(line: &[u8]) -> Option<(u64, &[u8])> {
    let digits = line.strip_prefix(br#"{"generation":"#)?;
    let end = digits.iter().position(|b| !b.is_ascii_digit())?;
    let generation = std::str::from_utf8(&digits[..end]).ok()?.parse().ok()?;
    Some((generation, &digits[end..]))
}
