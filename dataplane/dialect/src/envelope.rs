//! What every stage needs of a request, whatever its API: the model, whether it streams, and the
//! places where the gateway may have to write something else. Nothing more of the body is read.

use std::{borrow::Cow, collections::BTreeMap, fmt, ops::Range};

use bytes::Bytes;
use serde::{
    Deserialize, Deserializer as _,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::{Invalid, depth::Bounded};

/// What an API's bodies look like from outside.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Where the model's name is.
    pub model: ModelPlace,
    /// The field that holds what is asked.
    pub content: &'static str,
    pub needs: Needs,
    /// Whether a body without `stream` streams.
    pub streams: bool,
    /// Usage comes in the stream only where `stream_options` asks for it.
    pub stream_options: bool,
}

/// Where the model's name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelPlace {
    /// In the field `model`.
    Field,
    /// In the path; the body may repeat it, with the prefix `models/`, at the top, in each of
    /// `requests` and in `generateContentRequest`.
    Path,
}

/// What the content has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    Nothing,
    Something,
    /// An array that is not empty.
    Elements,
}

/// The outside of one request.
#[derive(Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Empty where the body does not name it.
    pub model: Box<str>,
    pub stream: bool,
    models_at: Vec<Range<usize>>,
    usage_wish: UsageWish,
}

/// What the caller said of usage in the stream.
#[derive(Debug, PartialEq, Eq)]
enum UsageWish {
    /// The API gives it without being asked.
    Given,
    /// No `stream_options` at all.
    Unsaid,
    /// `stream_options` without `include_usage: true`: what to write, and in which place, to have it.
    Declined(Range<usize>, &'static str),
    Asked,
}

impl Envelope {
    /// Reads the outside of a body.
    ///
    /// # Errors
    /// When the body is no JSON object, is nested over 127 levels deep, or has an unfit field.
    pub fn read(shape: &Shape, body: &[u8]) -> Result<Self, Invalid> {
        let mut at = None;
        let mut json = serde_json::Deserializer::from_slice(body);
        let fields = json
            .deserialize_map(FieldsVisitor { shape, at: &mut at })
            .and_then(|fields| json.end().map(|()| fields))
            .map_err(|error| refusal(&error, at))?;
        let mut models_at = Vec::new();
        let model: Box<str> = match (shape.model, fields.model) {
            (ModelPlace::Field, None) => return Err(Invalid::missing("model")),
            (_, None) => "".into(),
            (_, Some(raw)) => {
                models_at.push(position(body, raw));
                text(raw)?.into()
            }
        };
        if shape.model == ModelPlace::Path {
            models_at.extend(fields.inner.iter().flat_map(|raw| inner_models(body, raw)));
        }
        content(shape, fields.content)?;
        let usage_wish = match fields.stream_options {
            _ if !shape.stream_options => UsageWish::Given,
            None => UsageWish::Unsaid,
            Some(raw) => usage_wish(body, raw)?,
        };
        Ok(Self { model, stream: fields.stream.unwrap_or(shape.streams), models_at, usage_wish })
    }

    /// Whether the caller wants usage in the stream.
    #[must_use]
    pub fn wants_usage(&self) -> bool {
        matches!(self.usage_wish, UsageWish::Asked | UsageWish::Given)
    }

    /// The body to send to a provider of the same API: the caller's bytes, with another model where
    /// `model` differs, and with the wish for usage where a stream lacks it.
    #[must_use]
    pub fn upstream_body(&self, body: &Bytes, model: &str) -> Bytes {
        let mut edits: Vec<(Range<usize>, Cow<'static, str>)> = Vec::new();
        for at in &self.models_at {
            let was = &body[at.clone()];
            let now =
                if was.starts_with(b"\"models/") { format!("models/{model}") } else { model.to_owned() };
            let now = serde_json::Value::from(now).to_string();
            if was != now.as_bytes() {
                edits.push((at.clone(), now.into()));
            }
        }
        if self.stream {
            match &self.usage_wish {
                UsageWish::Given | UsageWish::Asked => {}
                UsageWish::Declined(at, wish) => edits.push((at.clone(), Cow::Borrowed(*wish))),
                UsageWish::Unsaid => {
                    // Behind the brace that opens the object, wherever blanks put it.
                    let brace = body.iter().position(|b| *b == b'{').map_or(0, |at| at + 1);
                    edits.push((brace..brace, Cow::Borrowed(r#""stream_options":{"include_usage":true},"#)));
                }
            }
        }
        edited(body, edits)
    }
}

fn edited(body: &Bytes, mut edits: Vec<(Range<usize>, Cow<'static, str>)>) -> Bytes {
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

/// A string that borrows where it holds no escape.
#[derive(Deserialize)]
struct Str<'a>(#[serde(borrow)] Cow<'a, str>);

fn text(raw: &RawValue) -> Result<Cow<'_, str>, Invalid> {
    let text = serde_json::from_str::<Str<'_>>(raw.get());
    text.map(|text| text.0).map_err(|_| Invalid::field("model", "it must be a string"))
}

/// Where `raw`, which borrows from `body`, stands in it.
fn position(body: &[u8], raw: &RawValue) -> Range<usize> {
    let start = raw.get().as_ptr() as usize - body.as_ptr() as usize;
    start..start + raw.get().len()
}

/// The places of `model` in an object, or in each object of an array. What is neither has none.
fn inner_models(body: &[u8], raw: &RawValue) -> Vec<Range<usize>> {
    #[derive(Deserialize)]
    struct Inner<'a> {
        #[serde(borrow)]
        model: Option<&'a RawValue>,
    }
    let of = |inner: Inner<'_>| inner.model.map(|model| position(body, model));
    match serde_json::from_str::<Vec<Inner<'_>>>(raw.get()) {
        Ok(inners) => inners.into_iter().filter_map(of).collect(),
        Err(_) => serde_json::from_str::<Inner<'_>>(raw.get()).ok().and_then(of).into_iter().collect(),
    }
}

fn content(shape: &Shape, found: Option<Bounded>) -> Result<(), Invalid> {
    let name = shape.content;
    match (shape.needs, found) {
        (Needs::Nothing, _) | (Needs::Something, Some(_)) => Ok(()),
        (_, None | Some(Bounded::Null)) => Err(Invalid::missing(name)),
        (Needs::Elements, Some(Bounded::Array { len: 0 })) => {
            Err(Invalid::field(name, "it must have at least one element"))
        }
        (Needs::Elements, Some(Bounded::Array { .. })) => Ok(()),
        (Needs::Elements, Some(_)) => Err(Invalid::field(name, "it must be an array")),
    }
}

/// The caller's other options stay as they are.
fn usage_wish(body: &[u8], raw: &RawValue) -> Result<UsageWish, Invalid> {
    let options: Option<BTreeMap<Box<str>, &RawValue>> = serde_json::from_str(raw.get())
        .map_err(|error| Invalid::field("stream_options", error.to_string()))?;
    let at = position(body, raw);
    let Some(options) = options else { return Ok(UsageWish::Declined(at, r#"{"include_usage":true}"#)) };
    let Some(wish) = options.get("include_usage") else {
        let behind_the_brace = at.start + 1..at.start + 1;
        let text = if options.is_empty() { r#""include_usage":true"# } else { r#""include_usage":true,"# };
        return Ok(UsageWish::Declined(behind_the_brace, text));
    };
    match wish.get() {
        "true" => Ok(UsageWish::Asked),
        "false" | "null" => Ok(UsageWish::Declined(position(body, wish), "true")),
        _ => Err(Invalid::field("stream_options.include_usage", "it must be true or false")),
    }
}

fn refusal(error: &serde_json::Error, at: Option<&'static str>) -> Invalid {
    let reason = error.to_string();
    if reason.starts_with("recursion limit") {
        return Invalid::TooDeep;
    }
    match at {
        Some(param) if error.is_data() => Invalid::field(param, reason),
        _ => Invalid::Json { reason },
    }
}

#[derive(Default)]
struct Fields<'a> {
    model: Option<&'a RawValue>,
    content: Option<Bounded>,
    stream: Option<bool>,
    stream_options: Option<&'a RawValue>,
    /// Values in which the model's name may stand again.
    inner: Vec<&'a RawValue>,
}

struct FieldsVisitor<'f> {
    shape: &'f Shape,
    /// The field that is being read, so that an error can name it.
    at: &'f mut Option<&'static str>,
}

impl<'de> Visitor<'de> for FieldsVisitor<'_> {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
        let mut fields = Fields::default();
        let mut seen = [false; 5];
        while let Some(Str(name)) = map.next_key::<Str<'de>>()? {
            let (place, name) = match name.as_ref() {
                "model" => (0, "model"),
                "stream" => (1, "stream"),
                "stream_options" if self.shape.stream_options => (2, "stream_options"),
                "generateContentRequest" if self.shape.model == ModelPlace::Path => {
                    (3, "generateContentRequest")
                }
                name if name == self.shape.content => (4, self.shape.content),
                _ => {
                    map.next_value::<Bounded>()?;
                    continue;
                }
            };
            *self.at = Some(name);
            // Two of a kind would let the gateway read one and the provider the other.
            if std::mem::replace(&mut seen[place], true) {
                return Err(serde::de::Error::duplicate_field(name));
            }
            match place {
                0 => fields.model = Some(map.next_value()?),
                1 => fields.stream = map.next_value()?,
                2 => fields.stream_options = Some(map.next_value()?),
                4 if self.shape.model == ModelPlace::Field || self.shape.content != "requests" => {
                    fields.content = Some(map.next_value()?);
                }
                _ => {
                    let raw: &'de RawValue = map.next_value()?;
                    fields.inner.push(raw);
                    let bounded = serde_json::from_str(raw.get()).map_err(serde::de::Error::custom)?;
                    if place == 4 {
                        fields.content = Some(bounded);
                    }
                }
            }
            *self.at = None;
        }
        Ok(fields)
    }
}

#[cfg(test)]
mod tests;
