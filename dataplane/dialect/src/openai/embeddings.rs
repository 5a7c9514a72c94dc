//! Embeddings: both ends, and the base64 that OpenAI's SDKs ask for when nobody says otherwise.

use bytes::Bytes;
use serde::{Deserialize, Serialize, Serializer};

use super::chat::ReadUsage;
use crate::{
    Context, EmbeddingCaller, EmbeddingProvider, Garbled, Invalid, ProviderModel, bound,
    embedding::{Input, Limits, Reply, Request},
    envelope::{ModelPlace, Needs, Shape},
    json::{self, Node, Object},
    reply::Usage,
};

mod base64;

/// `POST /v1/embeddings`.
#[derive(Clone, Copy, Debug)]
pub struct Embeddings;

pub const EMBEDDINGS_SHAPE: Shape = Shape {
    model: ModelPlace::Field,
    content: "input",
    needs: Needs::Something,
    streams: false,
    stream_options: false,
    adds: bound::openai::embeddings,
    limit: None,
};

pub const EMBEDDINGS_LIMITS: Limits = Limits {
    kind: "OpenAI",
    tokens: true,
    dimensions: true,
    task: false,
    title: false,
    // An input over the model's window is an error.
    no_truncation: true,
};

/// The usage in a whole reply.
///
/// # Errors
/// When the body is no JSON object.
pub fn embeddings_usage(body: &[u8]) -> Result<Option<Usage>, Garbled> {
    super::chat::usage_of_reply(body)
}

impl EmbeddingCaller for Embeddings {
    fn read_request(&self, body: &[u8]) -> Result<Request, Invalid> {
        let mut root = Object::root(body)?;
        let mut request = Request::default();
        (request.inputs, request.single) = inputs(&root.require("input")?)?;
        request.dimensions = root.opt("dimensions", Node::u64)?;
        request.user = root.opt("user", Node::string)?;
        if let Some(format) = root.take("encoding_format") {
            request.base64 = match format.str()?.as_ref() {
                "float" => false,
                "base64" => true,
                _ => return Err(format.invalid("it must be 'float' or 'base64'")),
            };
        }
        root.ignore(&["model"]);
        root.leave(&[], &mut request.leftovers);
        Ok(request)
    }

    fn write_reply(&self, reply: &Reply, request: &Request, context: &Context) -> Bytes {
        let data = reply.vectors.iter().enumerate().map(|(index, vector)| VectorObject {
            object: "embedding",
            index,
            embedding: Vector { floats: vector, base64: request.base64 },
        });
        // The SDKs' types want usage, so it stands here even where the provider did not count.
        let tokens = reply.input_tokens.unwrap_or(0);
        json::to_bytes(&WrittenReply {
            object: "list",
            data: data.collect(),
            model: if reply.model.is_empty() { &context.model } else { &reply.model },
            usage: WrittenUsage { prompt_tokens: tokens, total_tokens: tokens },
        })
    }
}

/// The inputs, and whether there was one and not a list of them.
fn inputs(node: &Node<'_>) -> Result<(Vec<Input>, bool), Invalid> {
    const MUST: &str = "it must be a string, a list of strings, a list of tokens, or a list of such lists";
    if node.shape() == json::Shape::String {
        return Ok((vec![Input::Text(node.string()?)], true));
    }
    let elements = node.array()?;
    let Some(first) = elements.first() else {
        return Err(node.invalid("it must have at least one element"));
    };
    match first.shape() {
        json::Shape::Number => Ok((vec![Input::Tokens(node.list(MUST)?)], true)),
        json::Shape::String => {
            let texts = elements.iter().map(|text| text.string().map(Input::Text));
            Ok((texts.collect::<Result<_, _>>()?, false))
        }
        json::Shape::Array => {
            let lists = elements.iter().map(|tokens| tokens.list(MUST).map(Input::Tokens));
            Ok((lists.collect::<Result<_, _>>()?, false))
        }
        _ => Err(node.invalid(MUST)),
    }
}

#[derive(Serialize)]
struct WrittenReply<'a> {
    object: &'static str,
    data: Vec<VectorObject<'a>>,
    model: &'a str,
    usage: WrittenUsage,
}

#[derive(Serialize)]
struct WrittenUsage {
    prompt_tokens: u64,
    total_tokens: u64,
}

#[derive(Serialize)]
struct VectorObject<'a> {
    object: &'static str,
    index: usize,
    embedding: Vector<'a>,
}

struct Vector<'a> {
    floats: &'a [f32],
    base64: bool,
}

impl Serialize for Vector<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.base64 {
            let bytes: Vec<u8> = self.floats.iter().flat_map(|float| float.to_le_bytes()).collect();
            serializer.serialize_str(&base64::encode(&bytes))
        } else {
            self.floats.serialize(serializer)
        }
    }
}

#[derive(Serialize)]
struct WrittenRequest<'a> {
    model: &'a str,
    input: WrittenInput<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dimensions: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum WrittenInput<'a> {
    Text(&'a str),
    Tokens(&'a [u64]),
    List(Vec<WrittenInput<'a>>),
}

impl<'a> From<&'a Input> for WrittenInput<'a> {
    fn from(input: &'a Input) -> Self {
        match input {
            Input::Text(text) => Self::Text(text),
            Input::Tokens(tokens) => Self::Tokens(tokens),
        }
    }
}

#[derive(Deserialize)]
struct ReadReply {
    model: Option<String>,
    data: Vec<ReadVector>,
    usage: Option<ReadUsage>,
}

#[derive(Deserialize)]
struct ReadVector {
    index: Option<usize>,
    embedding: ReadFloats,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum ReadFloats {
    Floats(Vec<f32>),
    Base64(String),
}

impl ReadFloats {
    fn into_floats(self) -> Result<Vec<f32>, Garbled> {
        match self {
            Self::Floats(floats) => Ok(floats),
            Self::Base64(text) => base64::decode(&text)
                .filter(|bytes| bytes.len() % 4 == 0)
                .map(|bytes| {
                    bytes.chunks_exact(4).map(|c| f32::from_le_bytes([c[0], c[1], c[2], c[3]])).collect()
                })
                .ok_or_else(|| Garbled::new("an embedding is no base64 of 32-bit floats")),
        }
    }
}

impl EmbeddingProvider for Embeddings {
    fn limits(&self) -> &'static Limits {
        &EMBEDDINGS_LIMITS
    }

    /// Asks for plain numbers, which is what every server gives unasked.
    fn write_request(&self, request: &Request, model: ProviderModel<'_>) -> Bytes {
        let input = match request.inputs.as_slice() {
            [one] if request.single => one.into(),
            inputs => WrittenInput::List(inputs.iter().map(WrittenInput::from).collect()),
        };
        json::to_bytes(&WrittenRequest {
            model: model.name,
            input,
            dimensions: request.dimensions,
            user: request.user.as_deref(),
        })
    }

    fn read_reply(&self, body: &[u8]) -> Result<Reply, Garbled> {
        let mut reply: ReadReply = serde_json::from_slice(body)?;
        // A stable sort: without indices the order is that of the reply.
        reply.data.sort_by_key(|vector| vector.index);
        let reply = Reply {
            model: reply.model.unwrap_or_default(),
            vectors: reply.data.into_iter().map(|v| v.embedding.into_floats()).collect::<Result<_, _>>()?,
            input_tokens: reply.usage.map(|usage| Usage::from(usage).input),
        };
        reply.finite()
    }
}

#[cfg(test)]
mod tests;
