//! `thoughtSignature`, as callers keep it. To the vendor's SDKs it is bytes in base64, and they refuse
//! what is not; so another vendor's seal, whose text names its origin, goes out wrapped in base64.

use std::{borrow::Cow, sync::LazyLock};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use memchr::memmem::Finder;

use super::fields::standard_base64;
use crate::{Dialect, seal::Seal};

/// What a caller is given.
pub fn write(seal: &Seal) -> Cow<'_, str> {
    match seal.value_for(Dialect::Gemini) {
        Some(own) => Cow::Borrowed(own),
        None => Cow::Owned(STANDARD.encode(seal.to_text(Dialect::Gemini))),
    }
}

/// What a caller gives back.
pub fn read(text: &str) -> Seal {
    STANDARD
        .decode(standard_base64(text.to_owned()))
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .map(|kept| Seal::from_text(Dialect::Gemini, &kept))
        .filter(|seal| seal.origin != Dialect::Gemini)
        .unwrap_or_else(|| Seal::new(Dialect::Gemini, text))
}

/// Whether a body holds another vendor's seal. Its text begins with the origin and the mark, whose
/// base64 is the same wherever it stands.
pub fn keeps_foreign_seals(body: &[u8]) -> bool {
    static NEEDLES: LazyLock<Vec<Finder<'static>>> = LazyLock::new(|| {
        let origins = Dialect::ALL.into_iter().filter(|origin| *origin != Dialect::Gemini);
        let begins = origins.flat_map(|origin| {
            [false, true]
                .map(|redacted| Seal { origin, redacted, value: String::new() }.to_text(Dialect::Gemini))
        });
        // Three bytes are four characters: what is left of the last three depends on what follows.
        let needles = begins.map(|begin| STANDARD.encode(&begin.as_bytes()[..begin.len() / 3 * 3]));
        needles.map(|needle| Finder::new(needle.trim_end_matches('+')).into_owned()).collect()
    });
    NEEDLES.iter().any(|needle| needle.find(body).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_with_another_vendors_seal_is_told_from_one_without() {
        for origin in [Dialect::OpenAI, Dialect::Anthropic] {
            for redacted in [false, true] {
                let seal = Seal { origin, redacted, value: "Eq8B".to_owned() };
                assert!(keeps_foreign_seals(
                    format!("{{\"thoughtSignature\":\"{}\"}}", write(&seal)).as_bytes()
                ));
            }
        }
        assert!(!keeps_foreign_seals(br#"{"thoughtSignature":"Eq8BRXE9PQ=="}"#));
    }

    #[test]
    fn a_seal_survives_an_sdk_that_keeps_it_as_bytes() {
        for origin in Dialect::ALL {
            for value in ["Eq8B", "a?>b~c", "YW-_YQ=="] {
                let seal = Seal::new(origin, value);
                let given = write(&seal).into_owned();
                assert_eq!(read(&given), seal);
                if origin != Dialect::Gemini {
                    assert!(STANDARD.decode(&given).is_ok());
                    let url_safe = given.replace('+', "-").replace('/', "_");
                    assert_eq!(read(url_safe.trim_end_matches('=')), seal);
                }
            }
        }
        let redacted = Seal { redacted: true, ..Seal::new(Dialect::Anthropic, "x") };
        assert_eq!(read(&write(&redacted)), redacted);
    }
}
