//! What is vouched for is what serde_json takes, no less and no more, and means the same.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::fmt;

use proptest::{
    collection::vec,
    prelude::*,
    sample::{Index, select},
};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::*;
use crate::{bound::Asked, depth::Bounded, envelope::fields::Fields, surface::Api};

/// Fields as serde_json has them.
struct Pairs<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Pairs<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairsVisitor;
        impl<'de> Visitor<'de> for PairsVisitor {
            type Value = Pairs<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<'de>, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(PairsVisitor)
    }
}

const SHAPES: [Api; 4] =
    [Api::ChatCompletions, Api::BatchEmbedContents, Api::GeminiCountTokens, Api::OllamaGenerate];

fn agrees(text: &[u8]) {
    for api in SHAPES {
        if let Some(fields) = Fields::skim(api.shape(), text) {
            let fields = Fields { asked: Asked::default(), ..fields };
            assert_eq!(Fields::parse(api.shape(), text), Ok(fields), "{api:?}");
        }
    }
    let shown = String::from_utf8_lossy(text);
    let in_utf8 = std::str::from_utf8(text).is_ok();
    let theirs = serde_json::from_slice::<Bounded>(text);
    let vouched = in_utf8 && whole(text, Skim::value).is_some();
    assert_eq!(vouched, theirs.is_ok(), "{theirs:?}: {shown}");
    if let Ok(theirs) = &theirs {
        assert_eq!(Bounded::of(text.trim_ascii()), *theirs, "{shown}");
    }
    let mut fields = Vec::new();
    let object = whole(text, |skim| {
        skim.object(|name, skim| {
            fields.push((name.into_owned(), skim.raw()?.to_vec()));
            Some(())
        })
    });
    assert_eq!(in_utf8 && object.is_some(), matches!(theirs, Ok(Bounded::Object)), "{theirs:?}: {shown}");
    if object.is_some() && in_utf8 {
        let Pairs(pairs) = serde_json::from_slice(text).unwrap();
        let theirs = pairs.into_iter().map(|(name, raw)| (name.into_bytes(), raw.get().as_bytes().to_vec()));
        assert_eq!(fields, theirs.collect::<Vec<_>>(), "{shown}");
    }
}

/// A field is put before the others that serde_json passes over and the skim does not vouch for: what
/// is read without it and with it, by the other way, is the same.
fn counts_the_same(text: &str) {
    let (_, inside) = text.split_once('{').unwrap();
    let comma = if inside.trim_ascii_start().starts_with('}') { "" } else { "," };
    let unsure = format!(r#"{{"unsure":"\ud800"{comma}{inside}"#);
    assert!(whole(unsure.as_bytes(), Skim::value).is_none());
    for api in [Api::ChatCompletions, Api::Responses, Api::Messages, Api::GenerateContent, Api::OllamaChat] {
        let [skimmed, parsed] = [text, &unsure].map(|text| api.usage_of_reply(text.as_bytes()));
        match (skimmed, parsed) {
            (Err(_), Err(_)) => {}
            (skimmed, parsed) => assert_eq!(skimmed, parsed, "{api:?}: {text}"),
        }
    }
}

fn blanks() -> impl Strategy<Value = &'static str> {
    prop_oneof![8 => Just(""), 1 => Just(" "), 1 => Just("\n\t  \r")]
}

fn string() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[ -!#-\\[\\]-~]{0,70}",
        2 => "[a-z]{1,9}é?",
        1 => Just("料金\u{1f600}\u{7f}".to_owned()),
        2 => r#"\\["\\/bfnrt]"#,
        1 => r"\\u[0-9a-cA-C][0-9a-fA-F]{3}",
        1 => Just(r"\ud83d\uDE00".to_owned()),
    ];
    vec(piece, 0..4).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "-?(0|[1-9][0-9]{0,3})",
        1 => "-?(0|[1-9][0-9]{0,19})(\\.[0-9]{1,5})?([eE][+-]?[0-9]{1,3})?",
        1 => (300_usize..=312, any::<bool>()).prop_map(|(len, fraction)| {
            format!("1{}{}", "7".repeat(len - 1), if fraction { ".5" } else { "" })
        }),
    ]
}

/// A value, whose objects have some of `names` among others.
fn value(names: &'static [&'static str]) -> BoxedStrategy<String> {
    let literal = prop_oneof![Just("null"), Just("true"), Just("false")].prop_map(str::to_owned);
    let leaf = prop_oneof![1 => literal, 3 => number(), 1 => string()];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        let spaced = (blanks(), inner, blanks())
            .prop_map(|(before, value, behind)| [before, &value, behind].concat())
            .boxed();
        let array = vec(spaced.clone(), 0..5).prop_map(|values| format!("[{}]", values.join(",")));
        prop_oneof![1 => array, 3 => fields_of(names, spaced)]
    })
    .boxed()
}

fn fields_of(names: &'static [&'static str], value: BoxedStrategy<String>) -> BoxedStrategy<String> {
    let known = select(names).prop_map(|name| format!("\"{name}\""));
    let field = (blanks(), prop_oneof![3 => known, 1 => string()], blanks(), value)
        .prop_map(|(before, name, behind, value)| format!("{before}{name}{behind}:{value}"));
    (vec(field, 0..6), blanks())
        .prop_map(|(fields, blanks)| format!("{{{}{blanks}}}", fields.join(",")))
        .boxed()
}

const OUTSIDE: &[&str] =
    &["model", "messages", "stream", "st\\u0072eam", "requests", "generateContentRequest"];
const COUNTED: &[&str] = &[
    "usage",
    "content",
    "usageMetadata",
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "cached_tokens",
    "prompt_tokens_details",
    "completion_tokens_details",
    "reasoning_tokens",
    "input_tokens",
    "output_tokens",
    "input_tokens_details",
    "output_tokens_details",
    "thinking_tokens",
    "cache_read_input_tokens",
    "promptTokenCount",
    "thoughtsTokenCount",
    "prompt_eval_count",
    "eval_count",
    "us\\u0061ge",
];

/// A change of one byte, such as a sender's mistake would be.
fn damaged(mut text: Vec<u8>, changes: &[(Index, u8, u8)]) -> Vec<u8> {
    for (at, how, byte) in changes {
        if text.is_empty() {
            break;
        }
        let at = at.index(text.len());
        match how % 4 {
            0 => text[at] = *byte,
            1 => text.insert(at, *byte),
            2 => _ = text.remove(at),
            _ => text.truncate(at),
        }
    }
    text
}

fn changes() -> impl Strategy<Value = Vec<(Index, u8, u8)>> {
    let byte = prop_oneof![3 => select(br#"{}[]",:\/ue0.-+ "#.to_vec()), 1 => any::<u8>()];
    vec((any::<Index>(), any::<u8>(), byte), 1..3)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn any_bytes(text in vec(any::<u8>(), 0..60)) {
        agrees(&text);
    }

    #[test]
    fn any_bytes_of_json(text in vec(select(br#"{}[]",:\udnrtle0189.-+ "#.to_vec()), 0..12)) {
        agrees(&text);
    }

    #[test]
    fn any_value(text in value(OUTSIDE)) {
        agrees(text.as_bytes());
    }

    #[test]
    fn any_damaged_value(text in value(OUTSIDE), changes in changes()) {
        agrees(&damaged(text.into_bytes(), &changes));
    }

    #[test]
    fn any_string_with_any_byte_in_it(len in 0_usize..120, at in any::<Index>(), byte: u8, behind: u8) {
        let mut text = [&b"\""[..], &vec![b'x'; len], b"\" "].concat();
        let at = at.index(text.len() - 1);
        text[at] = byte;
        text[at + 1] = behind;
        agrees(&text);
    }

    #[test]
    fn any_escape(escape in r#"\\(u[0-9a-fA-FgG]{2,5}|.)(\\(u[dD][89a-fA-F][0-9a-f]{2}|.))?"#) {
        agrees(format!("{{\"a\":\"x{escape}\"}}").as_bytes());
        agrees(format!("{{\"{escape}\":1}}").as_bytes());
        agrees(format!("[\"\\ud8{escape}\"]").as_bytes());
    }

    #[test]
    fn depth(opens in vec(any::<bool>(), 120..132), inside in select(&["1", "[]", "{}"][..])) {
        let mut text: String = opens.iter().map(|object| if *object { "{\"a\":" } else { "[" }).collect();
        text.push_str(inside);
        text.extend(opens.iter().rev().map(|object| if *object { '}' } else { ']' }));
        agrees(text.as_bytes());
    }

    #[test]
    fn any_counts(text in fields_of(COUNTED, value(COUNTED))) {
        counts_the_same(&text);
    }

    #[test]
    fn any_damaged_counts(text in fields_of(COUNTED, value(COUNTED)), changes in changes()) {
        let text = damaged(text.into_bytes(), &changes);
        match std::str::from_utf8(&text) {
            // Blanks as JSON has them: a form feed is none.
            Ok(text) if text.trim_start_matches([' ', '\n', '\r', '\t']).starts_with('{') => {
                counts_the_same(text);
            }
            _ => {}
        }
    }
}

#[test]
fn ordinary_bodies_are_vouched_for() {
    let body = br#"{"model":"m","messages":[{"role":"user","content":"a \"b\" \u00e9\n"}],"stream":null}"#;
    assert!(Fields::skim(Api::ChatCompletions.shape(), body).is_some());
    let reply = br#"{"choices":[],"usage":{"prompt_tokens":7,"prompt_tokens_details":null}}"#;
    assert!(whole(reply, Skim::value).is_some());
}

#[test]
fn a_number_that_no_float_holds_is_not_vouched_for() {
    for text in ["1e308", "1e309", "-1e309", "1e-400", "0e999", "1E+0000000000000000000001", "0.1e310"] {
        agrees(text.as_bytes());
    }
}
