//! How a call goes to one target, and how its reply comes back: in the bytes that it came in where
//! the provider speaks the caller's API, else translated. Pure, like the translation itself.

use bytes::Bytes;
use http::StatusCode;
use llm_dialect::{
    Context, Dialect, Fault, FaultKind, Garbled, ProviderModel, bound,
    chat::Leftover,
    embedding,
    frame::{self, Frame, Framing},
    limits::{Feature, Inexpressible},
    openai,
    reply::Usage,
    surface::{Api, CallerSide, Kind, ProviderSide, Task},
    tap::Tap,
    translation::{Through, Translation},
};

use crate::{
    error::Error,
    snapshot::Target,
    stage::decode::{Call, Meaning},
    upstream::count::{self, Uncountable},
};

/// A whole reply for the caller.
#[derive(Debug)]
pub struct Whole {
    /// `None` where the provider's own bytes will do.
    pub written: Option<Bytes>,
    pub usage: Option<Usage>,
}

/// A provider's error.
#[derive(Debug)]
pub struct Refusal {
    /// The status by which the provider said it.
    pub answered: StatusCode,
    /// That for the caller.
    pub status: StatusCode,
    pub body: Bytes,
    /// When to come back, in seconds, where the body says so.
    pub retry_after: Option<u64>,
    pub kind: FaultKind,
    /// The call is too long for the model.
    pub too_long: bool,
}

/// One call on its way to one target.
#[derive(Clone, Copy, Debug)]
pub struct Wire<'a> {
    pub call: &'a Call,
    pub target: &'a Target,
    /// The API by which the target answers.
    pub out: Api,
}

impl<'a> Wire<'a> {
    /// The way to a target; `None` where the gateway answers itself.
    ///
    /// # Errors
    /// Why the target can't be told of the call.
    pub fn new(call: &'a Call, target: &'a Target) -> Result<Option<Self>, Error> {
        Ok(way(call, target)?.map(|out| Self { call, target, out }))
    }

    /// Whether the bytes pass through.
    pub fn passes(&self) -> bool {
        passes(self.call, self.out)
    }

    /// The body to send.
    ///
    /// # Errors
    /// When the call means nothing; what the kind can't express was left out of the plan before.
    pub fn request_body(&self) -> Result<Bytes, Error> {
        let Self { call, target, out } = self;
        if self.passes() {
            let model = &target.upstream_model;
            return Ok(call.envelope.upstream_body_capped(&call.body.bytes, model, call.cap));
        }
        let model =
            ProviderModel { name: &target.upstream_model, max_output_tokens: target.max_output_tokens };
        let meaning = call.meaning().map_err(|invalid| Error::Invalid(invalid.clone()))?;
        match (out.provider(), meaning) {
            (Some(ProviderSide::Chat(api)), Meaning::Chat(request)) => Ok(api.write_request(request, model)),
            (Some(ProviderSide::Count(api)), Meaning::Chat(request)) => {
                Ok(api.write_count_request(request, model))
            }
            (Some(ProviderSide::Embed(api)), Meaning::Embed(request)) => {
                Ok(api.write_request(request, model))
            }
            _ => Err(self.no_way()),
        }
    }

    /// A whole reply for the caller, with what it took.
    ///
    /// # Errors
    /// When the provider's reply can't be read.
    pub fn reply(&self, body: &Bytes, context: impl FnOnce() -> Context) -> Result<Whole, Garbled> {
        if self.passes() {
            return Ok(Whole { written: None, usage: self.out.usage_of_reply(body)? });
        }
        let (written, usage) = match (self.out.provider(), self.call.api.caller()) {
            (Some(ProviderSide::Chat(provider)), CallerSide::Chat(caller)) => {
                let (reply, context) = (provider.read_reply(body)?, context());
                let usage = reply.usage;
                (caller.write_reply(&reply.with_renewed_ids(&context.id), &context), usage)
            }
            (Some(ProviderSide::Count(counter)), _) => {
                (self.count(counter.read_count(body)?), Some(Usage::default()))
            }
            (Some(ProviderSide::Embed(provider)), CallerSide::Embed(caller)) => {
                let Ok(Meaning::Embed(request)) = self.call.meaning() else {
                    return Err(Garbled::new("its call can't be read"));
                };
                let reply = provider.read_reply(body)?;
                let usage = reply.input_tokens.map(|input| Usage { input, ..Usage::default() });
                (caller.write_reply(&reply, request, &context()), usage)
            }
            _ => return Err(Garbled::new("there is no way back from its API")),
        };
        Ok(Whole { written: Some(written), usage })
    }

    /// A count of tokens as the caller reads it.
    pub fn count(&self, tokens: u64) -> Bytes {
        self.call.api.counter().map(|api| api.write_count(tokens)).unwrap_or_default()
    }

    /// The way through for a stream; `None` where there is none.
    pub fn through(&self, context: impl FnOnce() -> Context) -> Option<Through> {
        if self.passes() {
            let tap = Tap::new(self.out.marks()?, !self.call.envelope.wants_usage());
            let through = if self.out == self.call.api { Through::same(tap) } else { Through::array(tap) };
            return Some(self.expecting(through));
        }
        let (Some(ProviderSide::Chat(provider)), CallerSide::Chat(caller)) =
            (self.out.provider(), self.call.api.caller())
        else {
            return None;
        };
        let context = context();
        let tag = context.id.clone();
        let writer = caller.stream_writer(context);
        let translation = Translation::new(provider.framing(), provider.stream_reader(), writer);
        Some(self.expecting(Through::other(translation.with_renewed_ids(tag))))
    }

    fn expecting(&self, mut through: Through) -> Through {
        let Call { api, envelope, .. } = self.call;
        through.expect(bound::output(*api, envelope, *api, false).choices);
        through
    }

    /// A provider's error, as the caller reads it and as it is meant.
    pub fn refusal(&self, status: StatusCode, body: Bytes) -> Refusal {
        let theirs = self.out.dialect();
        let fault = if theirs.is_error_body(&body) {
            theirs.read_error(status.as_u16(), &body)
        } else {
            // Some page of some proxy on the way: there is nothing in it for the caller.
            Error::ProviderStatus { provider: self.target.provider.name.to_string(), status }.fault()
        };
        self.refused(status, &fault, body)
    }

    /// What the provider says in place of an answer, under the status of a success; `None` for an answer.
    pub fn failure(&self, said: &[u8]) -> Option<Refusal> {
        let fault = self.out.dialect().read_failure(said)?;
        let status = StatusCode::from_u16(fault.status).unwrap_or(StatusCode::BAD_GATEWAY);
        Some(self.refused(status, &fault, Bytes::copy_from_slice(said)))
    }

    /// The same of the first frame of a stream that has something to say.
    pub fn failure_of_stream(&self, frames: &Bytes) -> Option<Refusal> {
        let framing = self.framing()?;
        let mut rest = frames.clone();
        while let Some(bytes) = frame::next(framing, &mut rest) {
            if let Some(frame) = Frame::parse(framing, &bytes) {
                return self.failure(&frame.data);
            }
        }
        None
    }

    /// What the provider's streams are made of.
    pub fn framing(&self) -> Option<Framing> {
        if let Some(ProviderSide::Chat(api)) = self.out.provider() { Some(api.framing()) } else { None }
    }

    fn refused(&self, answered: StatusCode, fault: &Fault, body: Bytes) -> Refusal {
        let (theirs, ours) = (self.out.dialect(), self.call.api.dialect());
        let (kind, too_long, retry_after) = (fault.kind, fault.says_too_long(), fault.retry_after);
        let refusal = |status, body| Refusal { answered, status, body, retry_after, kind, too_long };
        if theirs == ours && ours.is_error_body(&body) {
            return refusal(answered, body);
        }
        let status = if theirs == ours { answered } else { common_status(fault, answered) };
        refusal(status, ours.error_body(fault))
    }

    /// The fields that the provider is not told of: hints, which do not change the answer.
    pub fn left_out(&self) -> Vec<&'a str> {
        if self.passes() {
            return Vec::new();
        }
        let (Ok(meaning), caller) = (self.call.meaning(), self.call.api.caller()) else { return Vec::new() };
        let fields = |leftovers: &'a [Leftover]| leftovers.iter().map(|leftover| leftover.field.as_str());
        match (meaning, caller, self.out.provider()) {
            (Meaning::Chat(request), CallerSide::Chat(caller), Some(ProviderSide::Chat(provider))) => {
                let user = request.user.is_some() && !provider.limits().user;
                let unsaid = [(user, Feature::User), (!request.metadata.is_empty(), Feature::Metadata)];
                let unsaid = unsaid.into_iter().filter(|(unsaid, _)| *unsaid);
                let unsaid = unsaid.map(|(_, feature)| caller.field(feature));
                fields(&request.leftovers).chain(unsaid).collect()
            }
            (Meaning::Chat(request), ..) => fields(&request.leftovers).collect(),
            (Meaning::Embed(request), ..) => {
                let unsaid = request.user.is_some() && self.out != Api::Embeddings;
                fields(&request.leftovers).chain(unsaid.then_some("user")).collect()
            }
        }
    }

    /// The content type that the provider's streams have.
    pub fn streams_as(&self) -> &'static str {
        match self.out.dialect() {
            Dialect::Ollama => "application/x-ndjson",
            Dialect::OpenAI | Dialect::Anthropic | Dialect::Gemini => "text/event-stream",
        }
    }

    fn no_way(&self) -> Error {
        no_way(self.call, self.target.kind())
    }
}

/// Whether a call's bytes pass through to a provider that answers by `out`. The array form of Gemini's
/// streams is the gateway's own work. A call that has been elsewhere carries proofs that the vendor
/// would refuse: it is written anew without them, where that can be done.
pub fn passes(call: &Call, out: Api) -> bool {
    let same = out == call.api || (call.api, out) == (Api::StreamGenerateArray, Api::StreamGenerateContent);
    same && !(call.foreign_seals && out.provider().is_some())
}

fn common_status(fault: &Fault, status: StatusCode) -> StatusCode {
    StatusCode::from_u16(fault.common_status()).unwrap_or(status)
}

/// Such a call can't be made of such a provider at all.
fn no_way(call: &Call, kind: Kind) -> Error {
    let field = call.api.shape().content.to_owned();
    Error::Inexpressible(Inexpressible { field, kind: kind.as_str(), detail: None })
}

/// The API by which a target is told of a call; `None` where the gateway counts the tokens itself, for
/// a kind whose API does not.
///
/// # Errors
/// The first wish that it can't be told of, or what the caller got wrong.
pub fn way(call: &Call, target: &Target) -> Result<Option<Api>, Error> {
    let kind = target.kind();
    let Some(out) = target.answers_by(call.api, call.stream) else {
        return if call.api.task() == Task::Count {
            countable(call, kind).map(|()| None)
        } else {
            Err(no_way(call, kind))
        };
    };
    // The simulated provider has OpenAI's API and not all that it can do.
    if passes(call, out) && kind != Kind::Simulated {
        return Ok(Some(out));
    }
    match expressible(call, kind, out) {
        // Stop sequences, a seed, penalties: the older of OpenAI's two APIs has them, the newer does not.
        Err(Error::Inexpressible(_))
            if out == Api::Responses && expressible(call, kind, Api::ChatCompletions).is_ok() =>
        {
            Ok(Some(Api::ChatCompletions))
        }
        expressed => expressed.map(|()| Some(out)),
    }
}

fn expressible(call: &Call, kind: Kind, out: Api) -> Result<(), Error> {
    let meaning = call.meaning().map_err(|invalid| Error::Invalid(invalid.clone()))?;
    let fits = match (meaning, call.api.caller()) {
        (Meaning::Chat(request), CallerSide::Chat(caller)) => {
            let limits = match (kind, out.provider()) {
                (Kind::Simulated, _) => &openai::SIMULATED_LIMITS,
                (_, Some(ProviderSide::Chat(api))) => api.limits(),
                // Nothing has to be expressed of what would be asked but its content.
                (_, Some(ProviderSide::Count(api))) => {
                    return api.content_limits().check_content(request, caller).map_err(Error::Inexpressible);
                }
                _ => return Err(no_way(call, kind)),
            };
            limits.check(request, caller)
        }
        (Meaning::Embed(request), _) => match out.provider() {
            Some(ProviderSide::Embed(api)) => embedding_limits(kind, api.limits()).check(request),
            _ => return Err(no_way(call, kind)),
        },
        (Meaning::Chat(_), CallerSide::Embed(_)) => return Err(no_way(call, kind)),
    };
    fits.map_err(Error::Inexpressible)
}

/// Whether the gateway can count the tokens of a call itself.
fn countable(call: &Call, kind: Kind) -> Result<(), Error> {
    let meaning = call.meaning().map_err(|invalid| Error::Invalid(invalid.clone()))?;
    let Meaning::Chat(request) = meaning else { return Err(no_way(call, kind)) };
    let Some(Uncountable(what)) = count::uncountable(request) else { return Ok(()) };
    let field = call.api.shape().content.to_owned();
    let detail = format!("its API does not count tokens, and {what} can't be counted by the gateway");
    Err(Error::Inexpressible(Inexpressible { field, kind: kind.as_str(), detail: Some(detail) }))
}

/// The simulated provider speaks OpenAI's API under its own name.
fn embedding_limits(kind: Kind, limits: &embedding::Limits) -> embedding::Limits {
    embedding::Limits { kind: kind.as_str(), ..*limits }
}
