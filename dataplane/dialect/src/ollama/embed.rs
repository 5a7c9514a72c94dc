//! `/api/embed`, from both ends.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::read_reply::{self, Text};
use crate::{
    Context, EmbeddingCaller, EmbeddingProvider, Garbled, Invalid, ProviderModel,
    embedding::{Input, Limits, Reply, Request},
    json::{self, Node, Object, Shape},
    reply::Usage,
};

/// `/api/embed`.
#[derive(Clone, Copy, Debug)]
pub struct Embed;

static LIMITS: Limits = Limits {
    kind: "Ollama",
    tokens: false,
    dimensions: true,
    task: false,
    title: false,
    no_truncation: true,
};

impl EmbeddingCaller for Embed {
    fn read_request(&self, body: &[u8]) -> Result<Request, Invalid> {
        let mut root = Object::root(body)?;
        root.ignore(&["model"]);
        let input = root.require("input")?;
        let text = |node: &Node<'_>| Ok(Input::Text(node.string()?));
        let single = input.shape() == Shape::String;
        let inputs = if single {
            vec![text(&input)?]
        } else {
            input.array()?.iter().map(text).collect::<Result<Vec<_>, Invalid>>()?
        };
        if inputs.is_empty() {
            return Err(input.invalid("it must have at least one element"));
        }
        let mut request = Request {
            inputs,
            single,
            // To Ollama, 0 is the model's own length.
            dimensions: root.opt("dimensions", Node::u64)?.filter(|dimensions| *dimensions > 0),
            truncate: root.opt("truncate", Node::bool)?,
            ..Request::default()
        };
        // An embedding is not sampled: options say how the model is loaded, if anything.
        root.leave(&["options", "keep_alive"], &mut request.leftovers);
        Ok(request)
    }

    fn write_reply(&self, reply: &Reply, _: &Request, context: &Context) -> Bytes {
        #[derive(Serialize)]
        struct Body<'a> {
            model: &'a str,
            embeddings: &'a [Vec<f32>],
            #[serde(skip_serializing_if = "Option::is_none")]
            prompt_eval_count: Option<u64>,
        }
        json::to_bytes(&Body {
            model: if reply.model.is_empty() { &context.model } else { &reply.model },
            embeddings: &reply.vectors,
            prompt_eval_count: reply.input_tokens,
        })
    }
}

impl EmbeddingProvider for Embed {
    fn limits(&self) -> &'static Limits {
        &LIMITS
    }

    fn write_request(&self, request: &Request, model: ProviderModel<'_>) -> Bytes {
        #[derive(Serialize)]
        struct Body<'a> {
            model: &'a str,
            input: Vec<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            truncate: Option<bool>,
            #[serde(skip_serializing_if = "Option::is_none")]
            dimensions: Option<u64>,
        }
        json::to_bytes(&Body {
            model: model.name,
            input: request
                .inputs
                .iter()
                .filter_map(|input| match input {
                    Input::Text(text) => Some(text.as_str()),
                    Input::Tokens(_) => None,
                })
                .collect(),
            truncate: request.truncate,
            dimensions: request.dimensions,
        })
    }

    fn read_reply(&self, body: &[u8]) -> Result<Reply, Garbled> {
        #[derive(Deserialize)]
        struct Body<'a> {
            #[serde(borrow)]
            model: Option<Text<'a>>,
            embeddings: Vec<Vec<f32>>,
            prompt_eval_count: Option<u64>,
        }
        let body: Body<'_> = read_reply::object(body)?;
        let reply = Reply {
            model: body.model.map(|model| model.0.into_owned()).unwrap_or_default(),
            vectors: body.embeddings,
            input_tokens: body.prompt_eval_count,
        };
        reply.finite()
    }
}

/// The usage that a reply of `/api/embed` names.
///
/// # Errors
/// When the body is no reply at all.
pub fn embed_usage(body: &[u8]) -> Result<Option<Usage>, Garbled> {
    read_reply::usage_of_reply(body)
}
