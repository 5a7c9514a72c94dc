//! The whole path of a call, on one screen.

use bytes::Bytes;
use http::request::Parts;
use hyper::{Request, Response, body::Incoming};
use llm_dialect::{Dialect, ollama};

use crate::{
    error::Error,
    models, respond,
    shared::Shared,
    snapshot::{Snapshot, router::Asking},
    stage::{
        decode::{decode, read},
        dispatch::{Sending, dispatch},
        identify::{Caller, Endpoint, dialect, identify},
        relay::{ReplyBody, relay},
        route::route,
        settle::{Settlement, Taken},
    },
};

/// Answers a request; `worker` is the index of the worker that runs this.
pub async fn answer(
    shared: &Shared,
    worker: usize,
    caller: Caller,
    request: Request<Incoming>,
) -> Response<ReplyBody> {
    let mut settlement = Settlement::begin(shared.log.clone(), shared.unrouted.clone(), caller);
    let (parts, body) = request.into_parts();
    let dialect = dialect(&parts);
    match walk(shared, worker, dialect, &parts, body, &mut settlement).await {
        Ok(response) => response,
        Err(error) => {
            settlement.finish(error.status(), Taken::Nothing, Some(&error));
            respond::failure(&error, dialect)
        }
    }
}

async fn walk(
    shared: &Shared,
    worker: usize,
    dialect: Dialect,
    parts: &Parts,
    body: Incoming,
    settlement: &mut Settlement,
) -> Result<Response<ReplyBody>, Error> {
    let endpoint = identify(parts, dialect, &shared.limits)?;
    let snapshot = shared.snapshot.load_full().ok_or(Error::NotReady)?;
    let (api, model) = match endpoint {
        Endpoint::Call { api, model } => (api, model),
        other => {
            let told = tell(shared, &snapshot, dialect, other, body).await?;
            let response = respond::json(told);
            settlement.hand_over().finish(response.status(), Taken::Nothing, None);
            return Ok(response);
        }
    };
    let body = read(body, &shared.limits, &shared.buffers).await?;
    let call = decode(api, model, body)?;
    settlement.asks(&call);
    let asking = Asking { headers: &parts.headers, dialect, path: parts.uri.path() };
    let plan = route(&snapshot, &call, asking, fastrand::u64(..))?;
    let deadline = settlement.started() + plan.rule.timeouts.request();
    let sending =
        Sending { call: &call, headers: &parts.headers, buffers: &shared.buffers, worker, deadline };
    let (reply, trial) = dispatch(&plan, sending, settlement).await?;
    Ok(relay(reply, trial, &call, plan.rule.timeouts, deadline, settlement.hand_over()))
}

/// Tells of models what needs no provider.
async fn tell(
    shared: &Shared,
    snapshot: &Snapshot,
    dialect: Dialect,
    endpoint: Endpoint,
    body: Incoming,
) -> Result<Bytes, Error> {
    match endpoint {
        Endpoint::Model(name) => models::one(snapshot, dialect, &name),
        Endpoint::OllamaVersion => Ok(ollama::version()),
        Endpoint::OllamaShow => {
            let body = read(body, &shared.limits, &shared.buffers).await?;
            models::show(snapshot, &body.bytes)
        }
        Endpoint::Models | Endpoint::Call { .. } => Ok(models::list(snapshot, dialect)),
    }
}
