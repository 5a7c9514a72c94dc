//! Thinking and its seals, in the entries of `reasoning_details`, and the seals of tool calls in
//! `extra_content`. OpenAI's own API has neither.
//!
//! A caller is given an entry for each piece of thinking that is sealed, whole and under an index of
//! its own: OpenAI's SDKs join entries of one index. A provider's entry has fields besides its proof
//! that must come back with it; they are the seal together.

use serde::{Deserialize, Serialize};

use crate::{
    Dialect, Invalid,
    chat::{Leftover, Part},
    json::Node,
    seal::Seal,
};

/// An entry for a caller.
#[derive(Serialize)]
pub struct WrittenDetail<'a> {
    r#type: &'static str,
    index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<String>,
}

impl<'a> WrittenDetail<'a> {
    pub fn new(index: usize, text: &'a str, seal: Option<&Seal>) -> Self {
        let proof = seal.map(|seal| seal.to_text(Dialect::OpenAI));
        if seal.is_some_and(|seal| seal.redacted) {
            Self { r#type: "reasoning.encrypted", index, text: None, signature: None, data: proof }
        } else {
            Self { r#type: "reasoning.text", index, text: Some(text), signature: proof, data: None }
        }
    }
}

/// The entries for a caller of an answer's thinking; none where nothing is sealed, since the text is
/// in `reasoning_content` already.
pub fn write_details(parts: &[Part]) -> Vec<WrittenDetail<'_>> {
    let thinking = parts.iter().filter_map(|part| match part {
        Part::Reasoning { text, seal } => Some((text, seal.as_ref())),
        _ => None,
    });
    if thinking.clone().all(|(_, seal)| seal.is_none()) {
        return Vec::new();
    }
    thinking.enumerate().map(|(index, (text, seal))| WrittenDetail::new(index, text, seal)).collect()
}

/// Reads the thinking that a caller sends back. `text` is what the message's `reasoning_content` says:
/// it repeats the entries, where these have text.
pub fn read_details(
    details: Option<Node<'_>>,
    text: Option<String>,
    leftovers: &mut Vec<Leftover>,
) -> Result<Vec<Part>, Invalid> {
    let mut parts = Vec::new();
    for node in details.map(|node| node.array()).transpose()?.unwrap_or_default() {
        let mut entry = node.object()?;
        let kind = entry.require("type")?;
        let seal = |proof: &str| Seal::from_text(Dialect::OpenAI, proof);
        let (text, seal) = match kind.str()?.as_ref() {
            "reasoning.text" => {
                let signature = entry.opt("signature", Node::str)?;
                (entry.opt("text", Node::string)?, signature.map(|signature| seal(&signature)))
            }
            "reasoning.summary" => (entry.opt("summary", Node::string)?, None),
            "reasoning.encrypted" => {
                (None, Some(Seal { redacted: true, ..seal(&entry.require("data")?.str()?) }))
            }
            _ => return Err(kind.invalid("it is not a known type of reasoning")),
        };
        entry.ignore(&["id", "format", "index"]);
        entry.leave(&[], leftovers);
        parts.push(Part::Reasoning { text: text.unwrap_or_default(), seal });
    }
    put_text(&mut parts, text);
    Ok(parts)
}

/// Puts thinking that stands apart before its entries, unless they have text themselves.
fn put_text(parts: &mut Vec<Part>, text: Option<String>) {
    let told = parts.iter().any(|part| matches!(part, Part::Reasoning { text, .. } if !text.is_empty()));
    if let Some(text) = text.filter(|text| !text.is_empty() && !told) {
        parts.insert(0, Part::Reasoning { text, seal: None });
    }
}

/// An entry of a provider; without its text, as JSON, it is the value of the seal.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Detail {
    r#type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<String>,
}

impl Detail {
    /// The entry's readable text and its seal.
    pub fn into_parts(mut self) -> (String, Option<Seal>) {
        let told = self.text.take().or(self.summary.take()).unwrap_or_default();
        let redacted = self.data.is_some();
        if !redacted && self.signature.as_ref().is_none_or(String::is_empty) {
            return (told, None);
        }
        let value = serde_json::to_string(&self).unwrap_or_default();
        (told, Some(Seal { redacted, ..Seal::new(Dialect::OpenAI, value) }))
    }

    /// The entry to send back to the provider; `None` for thinking of other origin. The Responses API
    /// of OpenAI has seals too, and they are no JSON.
    pub fn of(text: &str, seal: Option<&Seal>) -> Option<Self> {
        let mut detail: Self = serde_json::from_str(seal?.value_for(Dialect::OpenAI)?).ok()?;
        if detail.data.is_none() {
            detail.text = Some(text.to_owned());
        }
        Some(detail)
    }
}

/// The thinking of a provider's whole answer. `text` is what the message's `reasoning_content` says.
pub fn of_details(details: Vec<Detail>, text: String) -> Vec<Part> {
    let mut parts: Vec<Part> = details
        .into_iter()
        .map(Detail::into_parts)
        .filter(|(text, seal)| !text.is_empty() || seal.is_some())
        .map(|(text, seal)| Part::Reasoning { text, seal })
        .collect();
    put_text(&mut parts, Some(text));
    parts
}

/// `extra_content` of a tool call, as Google's compatible endpoint has it.
#[derive(Serialize, Deserialize)]
pub struct ExtraContent {
    google: Option<Google>,
}

#[derive(Serialize, Deserialize)]
struct Google {
    thought_signature: Option<String>,
}

impl ExtraContent {
    pub fn new(signature: String) -> Self {
        Self { google: Some(Google { thought_signature: Some(signature) }) }
    }

    pub fn into_seal(self) -> Option<Seal> {
        self.google?.thought_signature.map(|signature| Seal::new(Dialect::OpenAI, signature))
    }
}
