//! The whole path of a call, on one screen.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, header, request::Parts};
use hyper::{Request, Response, body::Incoming};
use llm_dialect::{Dialect, ollama};
use tokio::time::Instant;

use crate::{
    clock,
    error::Error,
    header_maps, models, respond,
    shared::Shared,
    snapshot::{Snapshot, budgets::Spender, router::Asking},
    stage::{
        authenticate::authenticate,
        decode::{decode, read},
        dispatch::{Sending, dispatch},
        identify::{Caller, Endpoint, dialect, identify},
        relay::{ReplyBody, Terms, relay},
        report::{Explanation, Trace},
        reserve::reserve,
        route::{Moment, route},
        settle::{Settlement, Taken},
        wish::Wishes,
    },
};

/// Answers a request; `worker` is the index of the worker that runs this.
pub async fn answer(
    shared: &Arc<Shared>,
    worker: usize,
    caller: Caller,
    request: Request<Incoming>,
) -> Response<ReplyBody> {
    let mut settlement = Settlement::begin(shared, caller.address);
    let (parts, body) = request.into_parts();
    let dialect = dialect(&parts);
    let answered = walk(shared, worker, &caller, dialect, &parts, body, &mut settlement).await;
    header_maps::give_back(parts.headers);
    match answered {
        Ok(response) => response,
        Err(error) => {
            let report = settlement.finish(
                Instant::now(),
                respond::status(&error, dialect),
                Taken::Nothing,
                Some(&error),
            );
            respond::failure(&error, dialect, report)
        }
    }
}

async fn walk(
    shared: &Shared,
    worker: usize,
    caller: &Caller,
    dialect: Dialect,
    parts: &Parts,
    body: Incoming,
    settlement: &mut Settlement,
) -> Result<Response<ReplyBody>, Error> {
    let endpoint = identify(parts, dialect, &shared.limits)?;
    let mut wishes = Wishes::of_headers(&parts.headers)?;
    let snapshot = shared.snapshot.load_full().ok_or(Error::NotReady)?;
    let identity = authenticate(&snapshot.callers, worker, parts, caller.certificate.as_deref())?;
    if let Some(identity) = &identity {
        settlement.is_called_by(identity);
    }
    let (api, model) = match endpoint {
        Endpoint::Call { api, model } => (api, model),
        other => {
            let since = settlement.started();
            let told = Box::pin(tell(shared, &snapshot, dialect, other, body, since)).await?;
            let response = respond::json(told);
            let (now, status) = (Instant::now(), response.status());
            let _nothing_to_tell = settlement.hand_over().finish(now, status, Taken::Nothing, None);
            return Ok(response);
        }
    };
    let body = read(body, &shared.limits, &shared.buffers, settlement.started()).await?;
    let mut call = decode(api, model, body, &mut wishes)?;
    settlement.asks(&call, &wishes);
    let asking =
        Asking { headers: &parts.headers, dialect, path: parts.uri.path(), caller: identity.as_deref() };
    let moment = Moment { now: clock::now(), draw: fastrand::u64(..) };
    let mut planned = route(&snapshot, &call, &wishes, asking, moment);
    if wishes.explained() {
        let decision = planned.as_mut().map_or_else(|none| none.decision.take(), |plan| plan.decision.take());
        settlement.explain(Explanation { decision, trace: Trace::of(&parts.headers) });
    }
    let plan = planned?;
    settlement.is_downgraded_by(plan.downgraded_by);
    let spender = Spender { route: &plan.rule.route, caller: identity.as_deref(), wishes: &wishes };
    settlement.has_reserved(reserve(&mut call, &plan, spender).await?);
    let timeouts = plan.rule.timeouts;
    let deadline = settlement.started() + timeouts.request();
    let allowed = wishes.max_latency.map_or(timeouts.request(), |most| most.min(timeouts.request()));
    let sending = Sending {
        call: &call,
        headers: &parts.headers,
        buffers: &shared.buffers,
        worker,
        deadline: settlement.started() + allowed,
        allowed,
    };
    let (reply, trial) = dispatch(&plan, sending, settlement).await?;
    let terms = Terms { timeouts, deadline, trailers: takes_trailers(&parts.headers) };
    Ok(relay(reply, trial, &call, terms, settlement.hand_over()))
}

/// Whether the client reads what comes behind a body.
fn takes_trailers(headers: &HeaderMap) -> bool {
    let said = headers.get_all(header::TE).into_iter().filter_map(|value| value.to_str().ok());
    said.flat_map(|value| value.split(',')).any(|coding| coding.trim().eq_ignore_ascii_case("trailers"))
}

/// Tells of models what needs no provider.
async fn tell(
    shared: &Shared,
    snapshot: &Snapshot,
    dialect: Dialect,
    endpoint: Endpoint,
    body: Incoming,
    since: Instant,
) -> Result<Bytes, Error> {
    match endpoint {
        Endpoint::Model(name) => models::one(snapshot, dialect, &name),
        Endpoint::OllamaVersion => Ok(ollama::version()),
        Endpoint::OllamaShow => {
            let body = read(body, &shared.limits, &shared.buffers, since).await?;
            models::show(snapshot, &body.bytes)
        }
        Endpoint::Models | Endpoint::Call { .. } => Ok(models::list(snapshot, dialect)),
    }
}
