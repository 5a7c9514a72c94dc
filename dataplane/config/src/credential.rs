//! Secrets of a document: whatever prints or serializes one blots it out, in every field that there is
//! and will be. Only within [`exposed`] it goes out as it is, on its way to the proxy that needs it.

use std::{cell::Cell, fmt};

use serde::{Deserialize, Serialize, Serializer};

thread_local! {
    /// Whether what this thread serializes now may hold secrets. Serde carries nothing of the kind along.
    static EXPOSED: Cell<bool> = const { Cell::new(false) };
}

/// A secret, or what one could be guessed from: it can be sent, and never be shown.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Credential(String);

impl Credential {
    const REDACTED: &'static str = "[redacted]";

    #[must_use]
    pub fn new(secret: String) -> Self {
        Self(secret)
    }

    /// The secret itself, to put into a request.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::REDACTED)
    }
}

impl Serialize for Credential {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(if EXPOSED.get() { &self.0 } else { Self::REDACTED })
    }
}

/// What is serialized within holds its secrets: for the config stream, and for digests of what it carries.
pub fn exposed<T>(serialize: impl FnOnce() -> T) -> T {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            EXPOSED.set(self.0);
        }
    }
    let _restore = Restore(EXPOSED.replace(true));
    serialize()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    #[test]
    fn a_secret_is_blotted_out_wherever_it_is_not_exposed_on_purpose() {
        let secret = Credential::new("sk-secret".to_owned());
        let shown = || serde_json::to_string(&secret).unwrap();
        assert_eq!((shown(), format!("{secret:?}")), ("\"[redacted]\"".to_owned(), "[redacted]".to_owned()));
        assert_eq!(exposed(shown), "\"sk-secret\"");
        assert_eq!(exposed(|| exposed(shown) + &shown()), "\"sk-secret\"\"sk-secret\"");
        assert_eq!(shown(), "\"[redacted]\"", "and again behind it");
    }
}
