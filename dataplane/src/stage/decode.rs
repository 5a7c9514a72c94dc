//! The capped body to a call: the outside of it now, the inside when a provider of another dialect
//! wants it.

use std::{
    pin::pin,
    sync::{Arc, OnceLock},
};

use hyper::body::Incoming;
use llm_dialect::{
    Invalid, chat, embedding,
    envelope::{Envelope, TakenOut},
    surface::{Api, CallerSide},
};
use tokio::time::Instant;

use crate::{
    alarm::{self, Alarm},
    buffer::{Buffers, Held, Unheld},
    error::Error,
    shared::Limits,
    stage::wish::Wishes,
};

/// A call as the caller sent it, with what the stages need to know of it.
#[derive(Debug)]
pub struct Call {
    pub api: Api,
    /// The model by the name that was asked for.
    pub model: Arc<str>,
    pub stream: bool,
    pub body: Held,
    pub envelope: Envelope,
    /// It holds proofs of another kind of provider, which this dialect's own would refuse.
    pub foreign_seals: bool,
    /// The most tokens of its answer, where it says nothing of that and somebody must.
    pub cap: Option<u64>,
    meaning: OnceLock<Result<Meaning, Invalid>>,
}

/// What a call means, in no vendor's words.
#[derive(Debug)]
pub enum Meaning {
    Chat(Box<chat::Request>),
    Embed(embedding::Request),
}

impl Meaning {
    fn cap_output(&mut self, tokens: u64) {
        if let Self::Chat(request) = self {
            request.max_tokens.get_or_insert(tokens);
        }
    }
}

/// Reads the body of a call that arrived at `since`.
pub async fn read(body: Incoming, limits: &Limits, buffers: &Buffers, since: Instant) -> Result<Held, Error> {
    let (after, limit) = (limits.body_timeout, limits.max_body_bytes);
    let collected = pin!(buffers.collect(body, limit));
    alarm::before(|| Alarm::at(since + after), collected).await.ok_or(Error::BodyTimeout { after })?.map_err(
        |unheld| match unheld {
            Unheld::TooLarge => Error::BodyTooLarge { limit },
            Unheld::Full => Error::Busy,
            Unheld::Broken => Error::BodyBroken,
        },
    )
}

/// Decodes a body; `model` where the path names it. What of the body is for the gateway is added to
/// `wishes`, and no more there.
pub fn decode(api: Api, model: Option<Box<str>>, body: Held, wishes: &mut Wishes) -> Result<Call, Error> {
    let mut envelope = Envelope::read(api.shape(), &body.bytes)?;
    let mut body = body;
    if let Some(TakenOut { body: rest, routing, labels }) = envelope.take_out(&body.bytes)? {
        if let Some(routing) = routing {
            wishes.add_routing(&routing)?;
        }
        wishes.add_labels(labels)?;
        envelope = Envelope::read(api.shape(), &rest)?;
        body = body.with(rest);
    }
    let stream = api.streams().unwrap_or(envelope.stream);
    let model = model.map_or_else(|| envelope.model.clone(), Arc::from);
    let foreign_seals = api.dialect().keeps_foreign_seals(&body.bytes);
    Ok(Call { api, model, stream, body, envelope, foreign_seals, cap: None, meaning: OnceLock::new() })
}

impl Call {
    /// What the call means; read once, when it is first wanted.
    ///
    /// # Errors
    /// When it means nothing.
    pub fn meaning(&self) -> Result<&Meaning, &Invalid> {
        self.meaning.get_or_init(|| self.read_meaning()).as_ref()
    }

    /// What is said, where that is nothing but text.
    pub fn plain(&self) -> Option<chat::Plain<'_>> {
        match self.api.caller() {
            CallerSide::Chat(api) => api.read_plain(&self.body.bytes),
            CallerSide::Embed(_) => None,
        }
    }

    /// Says how many tokens its answer may have, where it says nothing of that.
    pub fn cap_output(&mut self, tokens: u64) {
        self.cap = Some(tokens);
        if let Some(Ok(meaning)) = self.meaning.get_mut() {
            meaning.cap_output(tokens);
        }
    }

    /// Whether more than the outside has been read.
    #[cfg(test)]
    pub fn was_read(&self) -> bool {
        self.meaning.get().is_some()
    }

    fn read_meaning(&self) -> Result<Meaning, Invalid> {
        let body = &self.body.bytes;
        let mut meaning = match self.api.caller() {
            CallerSide::Embed(api) => Meaning::Embed(api.read_request(body)?),
            CallerSide::Chat(api) => {
                let mut request = self.api.read_chat(api, body)?;
                request.stream = self.stream;
                Meaning::Chat(Box::new(request))
            }
        };
        if let Some(tokens) = self.cap {
            meaning.cap_output(tokens);
        }
        Ok(meaning)
    }
}
