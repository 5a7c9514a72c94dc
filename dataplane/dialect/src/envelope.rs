//! What every stage needs of a request, whatever its API: the model, whether it streams, and the
//! places where the gateway may have to write something else. Nothing more of the body is read.

mod capped;
pub(crate) mod fields;
mod taken;

use std::{borrow::Cow, collections::BTreeMap, ops::Range, sync::Arc};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    Invalid,
    bound::{Asked, Table},
    depth::Bounded,
};
use fields::Fields;

pub use taken::TakenOut;

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
    /// What its fields add to the tokens of a call.
    pub adds: Table,
    /// Where the limit of output is, where there is output.
    pub limit: Option<LimitPlace>,
}

/// Where the most output tokens are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitPlace {
    /// The object that holds it; `None` for the body itself.
    pub within: Option<&'static str>,
    /// Its name, and the one that is newer.
    pub names: &'static [&'static str],
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
    pub model: Arc<str>,
    pub stream: bool,
    /// Where the body names it at the top.
    model_at: Option<Range<usize>>,
    /// Where values of the body name it again.
    inner_models_at: Vec<Range<usize>>,
    usage_wish: UsageWish,
    may_hold_wishes: bool,
    pub(crate) asked: Asked,
    limit: Option<LimitPlace>,
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
        let fields = match Fields::skim(shape, body) {
            Some(fields) => fields,
            None => Fields { asked: Asked::unknown(), ..Fields::parse(shape, body)? },
        };
        let model: Arc<str> = match (shape.model, fields.model) {
            (ModelPlace::Field, None) => return Err(Invalid::missing("model")),
            (_, None) => "".into(),
            (_, Some(raw)) => text(raw)?.into(),
        };
        let model_at = fields.model.map(|raw| position(body, raw));
        let inner_models_at = fields.inner.iter().flat_map(|raw| inner_models(body, raw)).collect();
        content(shape, fields.content)?;
        let usage_wish = match fields.stream_options {
            _ if !shape.stream_options => UsageWish::Given,
            None => UsageWish::Unsaid,
            Some(raw) => usage_wish(body, raw)?,
        };
        let stream = fields.stream.unwrap_or(shape.streams);
        let may_hold_wishes = fields.for_the_gateway;
        let (asked, limit) = (fields.asked, shape.limit);
        Ok(Self { model, stream, model_at, inner_models_at, usage_wish, may_hold_wishes, asked, limit })
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
        self.upstream_body_capped(body, model, None)
    }

    /// As `upstream_body`; where the call names no limit of output and `cap` is one, with that limit.
    /// The field's name is what servers of the model take.
    #[must_use]
    pub fn upstream_body_capped(&self, body: &Bytes, model: &str, cap: Option<u64>) -> Bytes {
        let mut edits: Edits = Vec::new();
        if let (Some(tokens), Some(place)) = (cap, self.limit) {
            self.cap(place, body, model, tokens, &mut edits);
        }
        for at in self.model_at.iter().chain(&self.inner_models_at) {
            let was = &body[at.clone()];
            if names(was, model) {
                continue;
            }
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
                    let at = behind_brace(body);
                    edits.push((at, Cow::Borrowed(r#""stream_options":{"include_usage":true},"#)));
                }
            }
        }
        edited(body, edits)
    }
}

/// What to write, and in which place.
type Edits = Vec<(Range<usize>, Cow<'static, str>)>;

/// Behind the brace that opens an object, wherever blanks put it.
fn behind_brace(text: &[u8]) -> Range<usize> {
    let at = text.iter().position(|b| *b == b'{').map_or(0, |at| at + 1);
    at..at
}

/// Whether the text of a string says `model` as it would be written, without a look at what would.
fn names(text: &[u8], model: &str) -> bool {
    let said = text.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\""));
    let said = said.map(|said| said.strip_prefix(b"models/").unwrap_or(said));
    said == Some(model.as_bytes()) && !model.contains('\\')
}

fn edited(body: &Bytes, mut edits: Edits) -> Bytes {
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

/// What a value that is sound says as a string.
fn text(raw: &str) -> Result<Cow<'_, str>, Invalid> {
    if let Some(text) = raw.strip_prefix('"').and_then(|text| text.strip_suffix('"'))
        && !text.contains('\\')
    {
        return Ok(Cow::Borrowed(text));
    }
    serde_json::from_str::<Str<'_>>(raw)
        .map(|text| text.0)
        .map_err(|_| Invalid::field("model", "it must be a string"))
}

/// Where `raw`, which borrows from `body`, stands in it.
fn position(body: &[u8], raw: &str) -> Range<usize> {
    let start = raw.as_ptr() as usize - body.as_ptr() as usize;
    start..start + raw.len()
}

/// The places of `model` in an object, or in each object of an array. What is neither has none.
fn inner_models(body: &[u8], raw: &str) -> Vec<Range<usize>> {
    #[derive(Deserialize)]
    struct Inner<'a> {
        #[serde(borrow)]
        model: Option<&'a RawValue>,
    }
    let of = |inner: Inner<'_>| inner.model.map(|model| position(body, model.get()));
    match serde_json::from_str::<Vec<Inner<'_>>>(raw) {
        Ok(inners) => inners.into_iter().filter_map(of).collect(),
        Err(_) => serde_json::from_str::<Inner<'_>>(raw).ok().and_then(of).into_iter().collect(),
    }
}

fn content(shape: &Shape, found: Option<Bounded>) -> Result<(), Invalid> {
    let name = shape.content;
    match (shape.needs, found) {
        (Needs::Nothing, _) | (Needs::Something, Some(_)) => Ok(()),
        (_, None | Some(Bounded::Null)) => Err(Invalid::missing(name)),
        (Needs::Elements, Some(Bounded::Array { empty: true })) => {
            Err(Invalid::field(name, "it must have at least one element"))
        }
        (Needs::Elements, Some(Bounded::Array { .. })) => Ok(()),
        (Needs::Elements, Some(_)) => Err(Invalid::field(name, "it must be an array")),
    }
}

/// The caller's other options stay as they are.
fn usage_wish(body: &[u8], raw: &str) -> Result<UsageWish, Invalid> {
    let options: Option<BTreeMap<Box<str>, &RawValue>> =
        serde_json::from_str(raw).map_err(|error| Invalid::field("stream_options", error.to_string()))?;
    let at = position(body, raw);
    let Some(options) = options else { return Ok(UsageWish::Declined(at, r#"{"include_usage":true}"#)) };
    let Some(wish) = options.get("include_usage") else {
        let behind_the_brace = at.start + 1..at.start + 1;
        let text = if options.is_empty() { r#""include_usage":true"# } else { r#""include_usage":true,"# };
        return Ok(UsageWish::Declined(behind_the_brace, text));
    };
    match wish.get() {
        "true" => Ok(UsageWish::Asked),
        "false" | "null" => Ok(UsageWish::Declined(position(body, wish.get()), "true")),
        _ => Err(Invalid::field("stream_options.include_usage", "it must be true or false")),
    }
}

#[cfg(test)]
mod tests;
