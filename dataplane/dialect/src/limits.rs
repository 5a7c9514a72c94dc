//! What a kind of provider can't express: data, so that one function can refuse, and a table can be
//! printed.

use std::fmt;

use crate::{
    CallerApi,
    chat::{Media, Message, Output, Part, ReasoningAmount, Request, ToolChoice},
    embedding,
};

/// Something that a call may ask for and not every API has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    Temperature,
    TopK,
    PresencePenalty,
    FrequencyPenalty,
    Stop,
    Seed,
    Choices,
    JsonObject,
    JsonSchema,
    Reasoning,
    Logprobs,
    Tools,
    ToolChoice,
    ParallelToolCalls,
    Image,
    Audio,
    Video,
    Document,
    /// A hint.
    User,
    /// A hint.
    Metadata,
}

/// Where bytes may be that a message refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Takes {
    pub inline: bool,
    pub url: bool,
}

impl Takes {
    pub const NOTHING: Self = Self { inline: false, url: false };
    pub const INLINE: Self = Self { inline: true, url: false };
    pub const BOTH: Self = Self { inline: true, url: true };

    fn takes(self, media: &Media) -> bool {
        match media {
            Media::Inline { .. } | Media::Text(_) => self.inline,
            Media::Url { .. } => self.url,
        }
    }
}

/// What an API can express.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The kind of provider, as manifests name it.
    pub kind: &'static str,
    pub max_temperature: f64,
    pub top_k: bool,
    pub penalties: bool,
    /// The most stop sequences.
    pub stop: usize,
    pub seed: bool,
    /// The most answers to one call.
    pub choices: u32,
    pub json_object: bool,
    pub json_schema: bool,
    pub reasoning: bool,
    pub logprobs: bool,
    pub tools: bool,
    /// Whether a call of a tool can be demanded.
    pub tool_choice: bool,
    /// Whether parallel tool calls can be forbidden.
    pub serial_tool_calls: bool,
    pub image: Takes,
    pub audio: Takes,
    pub video: Takes,
    pub document: Takes,
    /// Whether the application's user can be named.
    pub user: bool,
}

/// A wish that a kind of provider can't express. Its text is for the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inexpressible {
    /// The field in the caller's dialect.
    pub field: String,
    /// The kind of provider.
    pub kind: &'static str,
    /// What of the field is meant, where it is not all of it.
    pub detail: Option<String>,
}

impl fmt::Display for Inexpressible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { field, kind, detail } = self;
        write!(f, "'{field}' can't be expressed to a provider of kind {kind}")?;
        detail.as_ref().map_or(Ok(()), |detail| write!(f, ": {detail}"))
    }
}

impl Limits {
    /// Whether the request keeps within the limits; the first wish that does not.
    ///
    /// # Errors
    /// Names the field in the words of `caller`.
    pub fn check(&self, request: &Request, caller: &dyn CallerApi) -> Result<(), Inexpressible> {
        match self.broken(request) {
            None => self.check_content(request, caller),
            Some(broken) => Err(self.inexpressible(broken, caller)),
        }
    }

    /// The same for the content alone: of a request whose tokens are only counted.
    ///
    /// # Errors
    /// Names the field in the words of `caller`.
    pub fn check_content(&self, request: &Request, caller: &dyn CallerApi) -> Result<(), Inexpressible> {
        if let Some(leftover) = request.leftovers.iter().find(|leftover| !leftover.hint) {
            return Err(Inexpressible { field: leftover.field.clone(), kind: self.kind, detail: None });
        }
        let broken = request.messages.iter().find_map(|message| self.message(message));
        broken.map_or(Ok(()), |broken| Err(self.inexpressible(broken, caller)))
    }

    fn inexpressible(
        &self,
        (feature, detail): (Feature, Option<String>),
        caller: &dyn CallerApi,
    ) -> Inexpressible {
        Inexpressible { field: caller.field(feature).to_owned(), kind: self.kind, detail }
    }

    fn broken(&self, request: &Request) -> Option<(Feature, Option<String>)> {
        let asks = |penalty: Option<f64>| penalty.is_some_and(|penalty| penalty != 0.0);
        let forced = matches!(request.tool_choice, Some(ToolChoice::Required | ToolChoice::Named(_)));
        let thinks = request.reasoning.is_some_and(|reasoning| reasoning.amount != ReasoningAmount::Off);
        let plain = [
            (!self.top_k && request.top_k.is_some(), Feature::TopK),
            (!self.penalties && asks(request.presence_penalty), Feature::PresencePenalty),
            (!self.penalties && asks(request.frequency_penalty), Feature::FrequencyPenalty),
            (!self.seed && request.seed.is_some(), Feature::Seed),
            (!self.json_object && matches!(request.output, Output::JsonObject), Feature::JsonObject),
            (!self.json_schema && matches!(request.output, Output::JsonSchema(_)), Feature::JsonSchema),
            (!self.reasoning && thinks, Feature::Reasoning),
            (!self.logprobs && request.logprobs.is_some(), Feature::Logprobs),
            (!self.tools && !request.tools.is_empty(), Feature::Tools),
            (!self.tool_choice && forced, Feature::ToolChoice),
            (
                !self.serial_tool_calls
                    && request.parallel_tool_calls == Some(false)
                    && !request.tools.is_empty(),
                Feature::ParallelToolCalls,
            ),
        ];
        if let Some((_, feature)) = plain.into_iter().find(|(broken, _)| *broken) {
            return Some((feature, None));
        }
        if request.temperature.is_some_and(|temperature| temperature > self.max_temperature) {
            return Some((Feature::Temperature, Some(format!("at most {} is taken", self.max_temperature))));
        }
        if request.stop.len() > self.stop {
            return Some((Feature::Stop, Some(format!("at most {} are taken", self.stop))));
        }
        if request.choices.is_some_and(|choices| choices > self.choices) {
            return Some((Feature::Choices, Some(format!("at most {} is taken", self.choices))));
        }
        None
    }

    fn message(&self, message: &Message) -> Option<(Feature, Option<String>)> {
        message.parts.iter().find_map(|part| self.part(part))
    }

    fn part(&self, part: &Part) -> Option<(Feature, Option<String>)> {
        let (takes, media, feature) = match part {
            Part::Image(media) => (self.image, media, Feature::Image),
            Part::Audio(media) => (self.audio, media, Feature::Audio),
            Part::Video(media) => (self.video, media, Feature::Video),
            // A text is a text to every API.
            Part::Document { media: Media::Text(_), .. } => return None,
            Part::Document { media, .. } => (self.document, media, Feature::Document),
            Part::ToolResult(result) => return result.content.iter().find_map(|part| self.part(part)),
            Part::ToolCall(_) if !self.tools => return Some((Feature::Tools, None)),
            Part::Text(_) | Part::Reasoning { .. } | Part::Refusal(_) | Part::ToolCall(_) => return None,
        };
        if takes.takes(media) {
            return None;
        }
        let detail = (takes != Takes::NOTHING).then(|| {
            if takes.inline { "it must be in the request, as base64" } else { "it must be given by URL" }
                .to_owned()
        });
        Some((feature, detail))
    }
}

impl embedding::Limits {
    /// Whether the request keeps within the limits; the first wish that does not.
    ///
    /// # Errors
    /// Names the field, by the name that it has where it exists.
    pub fn check(&self, request: &embedding::Request) -> Result<(), Inexpressible> {
        let refused =
            |field: &str| Err(Inexpressible { field: field.to_owned(), kind: self.kind, detail: None });
        if let Some(leftover) = request.leftovers.iter().find(|leftover| !leftover.hint) {
            return refused(&leftover.field);
        }
        let tokens = request.inputs.iter().any(|input| matches!(input, embedding::Input::Tokens(_)));
        if tokens && !self.tokens {
            let detail = Some("tokens are of one vendor's vocabulary: send text".to_owned());
            return Err(Inexpressible { field: "input".to_owned(), kind: self.kind, detail });
        }
        match request {
            r if r.dimensions.is_some() && !self.dimensions => refused("dimensions"),
            r if r.task.is_some() && !self.task => refused("taskType"),
            r if r.title.is_some() && !self.title => refused("title"),
            r if r.truncate == Some(false) && !self.no_truncation => refused("truncate"),
            _ => Ok(()),
        }
    }
}
