//! What providers answer, whole or in pieces: a chunk's `delta` has the fields of a reply's `message`.
//! Servers leave out, null and add fields as they please; what is wanted here is only what is used.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    logprobs::ReadLogprobs,
    reasoning::{Detail, ExtraContent},
    usage::ReadUsage,
};

/// A reply or a chunk.
#[derive(Deserialize)]
pub struct Answer<'a> {
    #[serde(borrow)]
    pub id: Option<Str<'a>>,
    pub model: Option<Str<'a>>,
    pub choices: Option<Vec<Choice<'a>>>,
    pub usage: Option<ReadUsage>,
    pub error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
pub struct Choice<'a> {
    #[serde(default)]
    pub index: u32,
    /// Perplexity's chunks have both.
    #[serde(borrow)]
    pub message: Option<Message<'a>>,
    pub delta: Option<Message<'a>>,
    pub finish_reason: Option<Str<'a>>,
    pub logprobs: Option<ReadLogprobs>,
}

#[derive(Default, Deserialize)]
pub struct Message<'a> {
    #[serde(borrow, default)]
    pub content: Content<'a>,
    pub refusal: Option<Str<'a>>,
    reasoning_content: Option<Str<'a>>,
    reasoning: Option<Str<'a>>,
    pub reasoning_details: Option<Vec<Detail>>,
    pub tool_calls: Option<Vec<Call<'a>>>,
}

#[derive(Deserialize)]
pub struct Call<'a> {
    pub index: Option<u32>,
    #[serde(borrow)]
    pub id: Option<Str<'a>>,
    pub function: Option<Function<'a>>,
    pub extra_content: Option<ExtraContent>,
}

#[derive(Default, Deserialize)]
pub struct Function<'a> {
    #[serde(borrow)]
    pub name: Option<Str<'a>>,
    pub arguments: Option<Str<'a>>,
}

impl<'a> Message<'a> {
    /// The thinking, by whichever name the server has for it.
    pub fn take_reasoning(&mut self) -> Cow<'a, str> {
        let named = [&mut self.reasoning_content, &mut self.reasoning].map(text);
        named
            .into_iter()
            .find(|text| !text.is_empty())
            .unwrap_or_else(|| std::mem::take(&mut self.content.thinking))
    }
}

/// A string that borrows where it holds no escape.
#[derive(Deserialize)]
pub struct Str<'a>(#[serde(borrow)] pub Cow<'a, str>);

/// The text of a field; what is absent or null is empty.
pub fn text<'a>(field: &mut Option<Str<'a>>) -> Cow<'a, str> {
    field.take().map(|text| text.0).unwrap_or_default()
}

/// `content`: a string or null, and with Mistral's reasoning models a list of parts.
#[derive(Default)]
pub struct Content<'a> {
    pub text: Cow<'a, str>,
    pub thinking: Cow<'a, str>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Content<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a list of parts")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Content<'de>, E> {
        Ok(Content { text: Cow::Borrowed(text), ..Content::default() })
    }

    fn visit_str<E>(self, text: &str) -> Result<Content<'de>, E> {
        Ok(Content { text: Cow::Owned(text.to_owned()), ..Content::default() })
    }

    fn visit_unit<E>(self) -> Result<Content<'de>, E> {
        Ok(Content::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Content<'de>, A::Error> {
        #[derive(Deserialize)]
        struct Piece<'a> {
            #[serde(borrow, default)]
            text: Content<'a>,
            #[serde(default)]
            thinking: Content<'a>,
        }
        let mut content = Content::default();
        while let Some(Piece { text, thinking }) = parts.next_element()? {
            content.text.to_mut().push_str(&text.text);
            content.thinking.to_mut().push_str(&thinking.text);
        }
        Ok(content)
    }
}
