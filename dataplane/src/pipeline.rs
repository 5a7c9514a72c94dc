//! The whole path of a call, on one screen.

use bytes::Bytes;
use hyper::{Request, Response, body::Incoming};

use crate::{
    error::Error,
    respond,
    shared::Shared,
    stage::{
        decode::decode,
        dispatch::dispatch,
        identify::{Caller, Endpoint, identify},
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
    match walk(shared, worker, request, &mut settlement).await {
        Ok(response) => response,
        Err(error) => {
            settlement.finish(error.status(), Taken::Nothing, Some(&error));
            respond::failure(&error)
        }
    }
}

async fn walk(
    shared: &Shared,
    worker: usize,
    request: Request<Incoming>,
    settlement: &mut Settlement,
) -> Result<Response<ReplyBody>, Error> {
    let (parts, body) = request.into_parts();
    let endpoint = identify(&parts, &shared.limits)?;
    let snapshot = shared.snapshot.load_full().ok_or(Error::NotReady)?;
    if endpoint == Endpoint::Models {
        return Ok(models(snapshot.model_list.clone(), settlement.hand_over()));
    }
    let call = decode(body, &shared.limits, &shared.buffers).await?;
    settlement.asks(&call);
    let plan = route(&snapshot, &call.request, fastrand::u64(..))?;
    let deadline = settlement.started() + plan.model.timeouts.request();
    let reply = dispatch(&plan, &call, &parts.headers, worker, deadline, settlement).await?;
    Ok(relay(reply, &call, plan.model.timeouts, deadline, settlement.hand_over()))
}

fn models(list: Bytes, settlement: Settlement) -> Response<ReplyBody> {
    let response = respond::json(list);
    settlement.finish(response.status(), Taken::Nothing, None);
    response
}
