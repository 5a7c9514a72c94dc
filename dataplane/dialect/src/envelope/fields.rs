//! The few fields of a body that the envelope looks at. They are skimmed; where that can't be vouched
//! for, serde_json reads them again, and says what is wrong.

use std::fmt;

use serde::{
    Deserializer as _,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{ModelPlace, Shape, Str};
use crate::{
    Invalid,
    bound::{self, Asked},
    depth::Bounded,
    skim,
};

/// Values as they stand in the body.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Fields<'a> {
    pub model: Option<&'a str>,
    pub content: Option<Bounded>,
    pub stream: Option<bool>,
    pub stream_options: Option<&'a str>,
    /// Values in which the model's name may stand again.
    pub inner: Vec<&'a str>,
    /// It has `routing` or `metadata`.
    pub for_the_gateway: bool,
    /// Noted where the body is skimmed, and only there.
    pub asked: Asked,
}

/// A field that is looked at.
#[derive(Clone, Copy)]
enum Known {
    Model,
    Stream,
    StreamOptions,
    /// Only the model's name may be wanted of it.
    Inner,
    Content,
    /// Its parts are told apart where it is taken out.
    ForTheGateway,
}

impl Known {
    fn of(shape: &Shape, name: &[u8]) -> Option<Self> {
        Some(match name {
            b"model" => Self::Model,
            b"stream" => Self::Stream,
            b"stream_options" if shape.stream_options => Self::StreamOptions,
            b"generateContentRequest" if shape.model == ModelPlace::Path => Self::Inner,
            b"routing" | b"metadata" => Self::ForTheGateway,
            name if name == shape.content.as_bytes() => Self::Content,
            _ => return None,
        })
    }

    fn name(self, shape: &Shape) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Stream => "stream",
            Self::StreamOptions => "stream_options",
            Self::Inner => "generateContentRequest",
            Self::Content => shape.content,
            Self::ForTheGateway => "routing",
        }
    }
}

/// Whether the model's name may stand in the content, too.
fn names_models(shape: &Shape) -> bool {
    shape.model == ModelPlace::Path && shape.content == "requests"
}

impl<'a> Fields<'a> {
    /// `None` where `parse` has to say what it is.
    pub fn skim(shape: &Shape, body: &'a [u8]) -> Option<Self> {
        let mut fields = Fields::default();
        let mut seen = [false; 5];
        if !body.is_ascii() {
            std::str::from_utf8(body).ok()?;
        }
        skim::whole(body, |skim| {
            skim.object(|name, skim| {
                let Some(known) = Known::of(shape, &name) else {
                    return bound::pass((shape.adds)(&name), &name, skim, &mut fields.asked);
                };
                if let Known::ForTheGateway = known {
                    fields.for_the_gateway = true;
                    return skim.value();
                }
                if std::mem::replace(seen.get_mut(known as usize)?, true) {
                    return None;
                }
                let raw = match known {
                    Known::Content => {
                        let adds = (shape.adds)(&name);
                        skim.text_of(|skim| bound::pass(adds, &name, skim, &mut fields.asked))?
                    }
                    _ => skim.raw()?,
                };
                let text = |raw| std::str::from_utf8(raw).ok();
                match known {
                    Known::Model => fields.model = Some(text(raw)?),
                    Known::Stream => {
                        fields.stream = match raw {
                            b"true" => Some(true),
                            b"false" => Some(false),
                            b"null" => None,
                            _ => return None,
                        }
                    }
                    Known::StreamOptions => fields.stream_options = Some(text(raw)?),
                    Known::Content if !names_models(shape) => fields.content = Some(Bounded::of(raw)),
                    Known::Content | Known::Inner | Known::ForTheGateway => {
                        fields.inner.push(text(raw)?);
                        if let Known::Content = known {
                            fields.content = Some(Bounded::of(raw));
                        }
                    }
                }
                Some(())
            })
        })?;
        Some(fields)
    }

    /// As `skim`, by serde_json.
    ///
    /// # Errors
    /// When the body is no JSON object, is nested too deep, or has a field twice.
    pub fn parse(shape: &Shape, body: &'a [u8]) -> Result<Self, Invalid> {
        let mut at = None;
        let mut json = serde_json::Deserializer::from_slice(body);
        json.deserialize_map(FieldsVisitor { shape, at: &mut at })
            .and_then(|fields| json.end().map(|()| fields))
            .map_err(|error| refusal(&error, at))
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
            let Some(known) = Known::of(self.shape, name.as_bytes()) else {
                map.next_value::<Bounded>()?;
                continue;
            };
            if let Known::ForTheGateway = known {
                fields.for_the_gateway = true;
                map.next_value::<Bounded>()?;
                continue;
            }
            let name = known.name(self.shape);
            *self.at = Some(name);
            // Two of a kind would let the gateway read one and the provider the other.
            if std::mem::replace(&mut seen[known as usize], true) {
                return Err(serde::de::Error::duplicate_field(name));
            }
            match known {
                Known::Model => fields.model = Some(map.next_value::<&'de RawValue>()?.get()),
                Known::Stream => fields.stream = map.next_value()?,
                Known::StreamOptions => {
                    fields.stream_options = Some(map.next_value::<&'de RawValue>()?.get());
                }
                Known::Content if !names_models(self.shape) => fields.content = Some(map.next_value()?),
                Known::Content | Known::Inner | Known::ForTheGateway => {
                    let raw = map.next_value::<&'de RawValue>()?.get();
                    fields.inner.push(raw);
                    let bounded = serde_json::from_str(raw).map_err(serde::de::Error::custom)?;
                    if let Known::Content = known {
                        fields.content = Some(bounded);
                    }
                }
            }
            *self.at = None;
        }
        Ok(fields)
    }
}
