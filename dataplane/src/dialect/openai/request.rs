//! A chat completion request: what the stages need of it, and the positions of what may change.

use std::{borrow::Cow, fmt, ops::Range};

use bytes::Bytes;
use serde::{
    Deserialize, Deserializer as _,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::{dialect::depth::Bounded, error::Error};

/// What the stages need of a request.
#[derive(Debug, PartialEq, Eq)]
pub struct ChatRequest {
    pub model: Box<str>,
    pub stream: bool,
    model_at: Range<usize>,
    usage_wish: UsageWish,
}

/// What the caller said of usage in the stream.
#[derive(Debug, PartialEq, Eq)]
enum UsageWish {
    /// No `stream_options` at all.
    Unsaid,
    /// `stream_options` at this place, without `include_usage: true`.
    Declined(Range<usize>),
    Asked,
}

impl ChatRequest {
    /// Decodes a body.
    pub fn decode(body: &[u8]) -> Result<Self, Error> {
        let mut at = None;
        let mut json = serde_json::Deserializer::from_slice(body);
        let fields = json
            .deserialize_map(FieldsVisitor { at: &mut at })
            .and_then(|fields| json.end().map(|()| fields))
            .map_err(|error| refusal(&error, at))?;

        let raw_model = fields.model.ok_or(Error::MissingField { param: "model" })?;
        let model: Cow<'_, str> = serde_json::from_str::<Str<'_>>(raw_model.get())
            .map_err(|_| Error::InvalidField { param: "model", reason: "it must be a string".to_owned() })?
            .0;
        match fields.messages {
            Some(Bounded::Array { len: 0 }) => {
                return Err(Error::InvalidField {
                    param: "messages",
                    reason: "it must hold at least one message".to_owned(),
                });
            }
            Some(Bounded::Array { .. }) => {}
            Some(_) => {
                return Err(Error::InvalidField {
                    param: "messages",
                    reason: "it must be an array".to_owned(),
                });
            }
            None => return Err(Error::MissingField { param: "messages" }),
        }
        let usage_wish = match fields.stream_options {
            None => UsageWish::Unsaid,
            Some(raw) if asks_for_usage(raw)? => UsageWish::Asked,
            Some(raw) => UsageWish::Declined(position(body, raw)),
        };
        Ok(Self {
            model: model.into(),
            stream: fields.stream,
            model_at: position(body, raw_model),
            usage_wish,
        })
    }

    /// Whether the usage event of the stream is the gateway's own wish, to be hidden again.
    pub fn hides_usage(&self) -> bool {
        self.stream && self.usage_wish != UsageWish::Asked
    }

    /// The body to send upstream: the caller's bytes, with another model where `upstream_model`
    /// differs, and with the wish for usage where a stream lacks it.
    pub fn upstream_body(&self, body: &Bytes, upstream_model: &str) -> Bytes {
        let mut edits: Vec<(Range<usize>, Cow<'static, str>)> = Vec::new();
        if *upstream_model != *self.model {
            edits.push((self.model_at.clone(), serde_json::Value::from(upstream_model).to_string().into()));
        }
        if self.stream {
            match &self.usage_wish {
                UsageWish::Asked => {}
                UsageWish::Declined(at) => {
                    edits.push((at.clone(), Cow::Borrowed(r#"{"include_usage":true}"#)))
                }
                UsageWish::Unsaid => {
                    // Behind the brace that opens the object, wherever blanks put it.
                    let brace = body.iter().position(|b| *b == b'{').map_or(0, |at| at + 1);
                    edits.push((brace..brace, Cow::Borrowed(r#""stream_options":{"include_usage":true},"#)));
                }
            }
        }
        if edits.is_empty() {
            return body.clone();
        }
        edits.sort_by_key(|(at, _)| at.start);
        let mut edited = Vec::with_capacity(body.len() + 64);
        let mut from = 0;
        for (at, text) in edits {
            edited.extend_from_slice(&body[from..at.start]);
            edited.extend_from_slice(text.as_bytes());
            from = at.end;
        }
        edited.extend_from_slice(&body[from..]);
        edited.into()
    }
}

/// Where `raw`, which borrows from `body`, stands in it.
fn position(body: &[u8], raw: &RawValue) -> Range<usize> {
    let start = raw.get().as_ptr() as usize - body.as_ptr() as usize;
    start..start + raw.get().len()
}

fn asks_for_usage(raw: &RawValue) -> Result<bool, Error> {
    #[derive(Deserialize)]
    struct StreamOptions {
        #[serde(default)]
        include_usage: Option<bool>,
    }
    serde_json::from_str::<Option<StreamOptions>>(raw.get())
        .map(|options| options.and_then(|options| options.include_usage).unwrap_or(false))
        .map_err(|error| Error::InvalidField { param: "stream_options", reason: error.to_string() })
}

fn refusal(error: &serde_json::Error, at: Option<&'static str>) -> Error {
    let reason = error.to_string();
    if reason.starts_with("recursion limit") {
        return Error::TooDeep;
    }
    match at {
        Some(param) if error.is_data() => Error::InvalidField { param, reason },
        _ => Error::MalformedJson { reason },
    }
}

/// A string that borrows where it holds no escape.
#[derive(Deserialize)]
struct Str<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Default)]
struct Fields<'a> {
    model: Option<&'a RawValue>,
    messages: Option<Bounded>,
    stream: bool,
    stream_options: Option<&'a RawValue>,
}

struct FieldsVisitor<'f> {
    /// The field that is being read, so that an error can name it.
    at: &'f mut Option<&'static str>,
}

impl<'de> Visitor<'de> for FieldsVisitor<'_> {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
        #[derive(Deserialize, Clone, Copy)]
        #[serde(field_identifier, rename_all = "snake_case")]
        enum Field {
            Model,
            Messages,
            Stream,
            StreamOptions,
            #[serde(other)]
            Other,
        }
        let mut fields = Fields::default();
        let mut seen = [false; 4];
        while let Some(field) = map.next_key::<Field>()? {
            let name = match field {
                Field::Model => "model",
                Field::Messages => "messages",
                Field::Stream => "stream",
                Field::StreamOptions => "stream_options",
                Field::Other => {
                    map.next_value::<Bounded>()?;
                    continue;
                }
            };
            *self.at = Some(name);
            // Two of a kind would let the gateway read one and the provider the other.
            if std::mem::replace(&mut seen[field as usize], true) {
                return Err(serde::de::Error::duplicate_field(name));
            }
            match field {
                Field::Model => fields.model = Some(map.next_value()?),
                Field::Messages => fields.messages = Some(map.next_value()?),
                Field::Stream => fields.stream = map.next_value::<Option<bool>>()?.unwrap_or(false),
                Field::StreamOptions => fields.stream_options = Some(map.next_value()?),
                Field::Other => {}
            }
            *self.at = None;
        }
        Ok(fields)
    }
}

#[cfg(test)]
mod tests;
