//! Embeddings: `embedContent` for one text, `batchEmbedContents` for many. Providers are always asked
//! for a batch, which may be of one.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{
    answer::{UsageMetadata, object, usage_of},
    fields::{elements, opt, take, whole},
};
use crate::{
    Context, EmbeddingCaller, EmbeddingProvider, Garbled, Invalid, ProviderModel,
    chat::Leftover,
    embedding::{Input, Limits, Reply, Request},
    json::{Node, Object, to_bytes},
    reply::Usage,
};

/// `embedContent`.
#[derive(Clone, Copy, Debug)]
pub struct Embed;

/// `batchEmbedContents`.
#[derive(Clone, Copy, Debug)]
pub struct BatchEmbed;

static LIMITS: Limits =
    Limits { kind: "Gemini", tokens: false, dimensions: true, task: true, title: true, no_truncation: false };

/// What one text of a request asks for.
struct Asked {
    text: String,
    task: Option<(String, String)>,
    title: Option<(String, String)>,
    dimensions: Option<(String, u64)>,
}

impl EmbeddingCaller for Embed {
    fn read_request(&self, body: &[u8]) -> Result<Request, Invalid> {
        let mut leftovers = Vec::new();
        let asked = read_one(Object::root(body)?, &mut leftovers)?;
        Ok(Request { single: true, ..together(vec![asked], leftovers) })
    }

    fn write_reply(&self, reply: &Reply, _: &Request, _: &Context) -> Bytes {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Body<'a> {
            embedding: Vector<'a>,
            #[serde(skip_serializing_if = "Option::is_none")]
            usage_metadata: Option<UsageMetadata>,
        }
        let values = reply.vectors.first().map_or(&[][..], Vec::as_slice);
        let usage_metadata = reply.input_tokens.map(UsageMetadata::of_input);
        to_bytes(&Body { embedding: Vector { values }, usage_metadata })
    }
}

impl EmbeddingCaller for BatchEmbed {
    fn read_request(&self, body: &[u8]) -> Result<Request, Invalid> {
        let mut root = Object::root(body)?;
        // The path names it.
        root.ignore(&["model"]);
        let mut leftovers = Vec::new();
        let read = |node: &Node<'_>| read_one(node.object()?, &mut leftovers);
        let requests = root.require("requests")?.array()?;
        let asked = requests.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        root.leave(&[], &mut leftovers);
        Ok(together(asked, leftovers))
    }

    fn write_reply(&self, reply: &Reply, _: &Request, _: &Context) -> Bytes {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Body<'a> {
            embeddings: Vec<Vector<'a>>,
            #[serde(skip_serializing_if = "Option::is_none")]
            usage_metadata: Option<UsageMetadata>,
        }
        let embeddings = reply.vectors.iter().map(|values| Vector { values }).collect();
        let usage_metadata = reply.input_tokens.map(UsageMetadata::of_input);
        to_bytes(&Body { embeddings, usage_metadata })
    }
}

#[derive(Serialize)]
struct Vector<'a> {
    values: &'a [f32],
}

fn read_one(mut object: Object<'_>, leftovers: &mut Vec<Leftover>) -> Result<Asked, Invalid> {
    object.ignore(&["model"]);
    let mut content = object.require("content")?.object()?;
    content.ignore(&["role"]);
    let parts = content.require("parts")?;
    let mut texts = Vec::new();
    for part in elements(&parts)? {
        let mut part = part.object()?;
        texts.extend(part.opt("text", Node::string)?);
        part.leave(&[], leftovers);
    }
    content.leave(&[], leftovers);
    let text = |node: &Node<'_>| Ok((node.path(), node.string()?));
    let asked = Asked {
        text: texts.join("\n"),
        task: opt(&mut object, "taskType", text)?.filter(|(_, task)| task != "TASK_TYPE_UNSPECIFIED"),
        title: take(&mut object, "title").as_ref().map(text).transpose()?,
        dimensions: opt(&mut object, "outputDimensionality", |node| Ok((node.path(), whole(node)?)))?,
    };
    object.leave(&[], leftovers);
    Ok(asked)
}

/// One request for all; a wish that only some of them have is left over.
fn together(asked: Vec<Asked>, mut leftovers: Vec<Leftover>) -> Request {
    let mut request = Request::default();
    if let Some(first) = asked.first() {
        let value = |wish: &Option<(String, String)>| wish.as_ref().map(|(_, value)| value.clone());
        request.task = value(&first.task);
        request.title = value(&first.title);
        request.dimensions = first.dimensions.as_ref().map(|(_, dimensions)| *dimensions);
    }
    for Asked { text, task, title, dimensions } in asked {
        differing(&request.task, task, "taskType", &mut leftovers);
        differing(&request.title, title, "title", &mut leftovers);
        differing(&request.dimensions, dimensions, "outputDimensionality", &mut leftovers);
        request.inputs.push(Input::Text(text));
    }
    request.leftovers = leftovers;
    request
}

fn differing<T: PartialEq>(
    of_first: &Option<T>,
    wish: Option<(String, T)>,
    name: &str,
    leftovers: &mut Vec<Leftover>,
) {
    let (path, value) = wish.map_or((None, None), |(path, value)| (Some(path), Some(value)));
    if value != *of_first {
        leftovers.push(Leftover { field: path.unwrap_or_else(|| name.to_owned()), hint: false });
    }
}

impl EmbeddingProvider for BatchEmbed {
    fn limits(&self) -> &'static Limits {
        &LIMITS
    }

    fn write_request(&self, request: &Request, model: ProviderModel<'_>) -> Bytes {
        #[derive(Serialize)]
        struct Body<'a> {
            requests: Vec<One<'a>>,
        }
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct One<'a> {
            model: &'a str,
            content: Content<'a>,
            #[serde(skip_serializing_if = "Option::is_none")]
            task_type: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            title: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            output_dimensionality: Option<u64>,
        }
        #[derive(Serialize)]
        struct Content<'a> {
            parts: [Text<'a>; 1],
        }
        #[derive(Serialize)]
        struct Text<'a> {
            text: &'a str,
        }
        let model = format!("models/{}", model.name);
        let one = |text| One {
            model: &model,
            content: Content { parts: [Text { text }] },
            task_type: request.task.as_deref(),
            title: request.title.as_deref(),
            output_dimensionality: request.dimensions,
        };
        // The limits refuse tokens.
        let texts = request.inputs.iter().filter_map(|input| match input {
            Input::Text(text) => Some(text.as_str()),
            Input::Tokens(_) => None,
        });
        to_bytes(&Body { requests: texts.map(one).collect() })
    }

    fn read_reply(&self, body: &[u8]) -> Result<Reply, Garbled> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Body {
            embeddings: Vec<Values>,
            usage_metadata: Option<UsageMetadata>,
        }
        #[derive(Deserialize)]
        struct Values {
            values: Vec<f32>,
        }
        let Body { embeddings, usage_metadata } = object(body)?;
        let reply = Reply {
            model: String::new(),
            vectors: embeddings.into_iter().map(|embedding| embedding.values).collect(),
            input_tokens: usage_metadata.map(|usage| Usage::from(usage).input),
        };
        reply.finite()
    }
}

/// The usage in a reply of either method.
///
/// # Errors
/// When the body is no JSON object.
pub fn embed_usage(body: &[u8]) -> Result<Option<Usage>, Garbled> {
    usage_of(body)
}
