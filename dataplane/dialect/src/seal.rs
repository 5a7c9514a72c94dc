//! A provider's proof that a piece of thinking is its own: Anthropic's `signature` and redacted
//! data, Gemini's `thoughtSignature`, OpenAI's `encrypted_content`. It is opaque, must come back as
//! it was given, and only to the kind of provider that gave it.
//!
//! A caller with another dialect keeps it for us: its text then names the kind it came from. In its
//! own dialect it stays bare, as the vendor wrote it.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use crate::Dialect;

/// A proof and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seal {
    pub origin: Dialect,
    /// The whole thinking is inside the proof: there is no readable text to it.
    pub redacted: bool,
    pub value: String,
}

/// Stands in no vendor's own proofs, which are base64 or JSON: so a body with a foreign seal is told.
const MARK: &str = "~seal~";

impl Seal {
    #[must_use]
    pub fn new(origin: Dialect, value: impl Into<String>) -> Self {
        Self { origin, redacted: false, value: value.into() }
    }

    /// The text that a caller of `dialect` keeps.
    #[must_use]
    pub fn to_text(&self, dialect: Dialect) -> String {
        if self.origin == dialect {
            return self.value.clone();
        }
        let redacted = if self.redacted { "!" } else { "" };
        format!("{}{redacted}{MARK}{}", self.origin.as_str(), self.value)
    }

    /// The seal that a caller of `dialect` has kept as `text`.
    #[must_use]
    pub fn from_text(dialect: Dialect, text: &str) -> Self {
        if let Some((origin, value)) = text.split_once(MARK) {
            let (origin, redacted) = origin.strip_suffix('!').map_or((origin, false), |o| (o, true));
            if let Some(origin) = Dialect::parse(origin) {
                return Self { origin, redacted, value: value.to_owned() };
            }
        }
        Self::new(dialect, text)
    }

    /// Whether a body holds a seal that a caller has kept for another kind of provider.
    #[must_use]
    pub fn any_foreign(body: &[u8]) -> bool {
        // To make the finder takes longer than to look through a small body.
        static FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(MARK));
        FINDER.find_iter(body).any(|at| {
            let before = &body[..at];
            let before = before.strip_suffix(b"!").unwrap_or(before);
            Dialect::ALL.iter().any(|origin| before.ends_with(origin.as_str().as_bytes()))
        })
    }

    /// The proof itself, for its own kind of provider only.
    #[must_use]
    pub fn value_for(&self, dialect: Dialect) -> Option<&str> {
        (self.origin == dialect).then_some(self.value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_survives_any_dialect_and_goes_only_home() {
        for origin in Dialect::ALL {
            for keeper in Dialect::ALL {
                for redacted in [false, true] {
                    let seal =
                        Seal { origin, redacted: redacted && origin != keeper, value: "Eq~oB+/=".to_owned() };
                    let kept = Seal::from_text(keeper, &seal.to_text(keeper));
                    assert_eq!(kept, seal);
                    assert_eq!(kept.value_for(origin), Some("Eq~oB+/="));
                    assert!(Dialect::ALL.into_iter().all(|d| d == origin || kept.value_for(d).is_none()));
                }
            }
        }
    }
}
