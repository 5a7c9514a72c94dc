//! Active checks of the providers whose pools ask for them: a request that costs no tokens, at an
//! interval. What comes of it counts like a call, for every model of the provider: it opens breakers
//! before a caller has to wait for a dead server, and it is the probe that closes them, so that no
//! caller has to be.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use tokio::{
    task::JoinSet,
    time::{Instant, interval, timeout},
};

use super::{
    health::Health,
    origin::{Failure, Sent},
};
use crate::{
    error::Denial,
    shared::Shared,
    snapshot::{Provider, Remote, Snapshot, Upstream},
};

/// How often it is looked what is due.
const TICK: Duration = Duration::from_secs(1);
/// A server that has not answered such a request within this is down.
const PATIENCE: Duration = Duration::from_secs(5);

/// Checks what is due, for as long as the proxy runs. `client` is the index of the clients that are
/// this task's own: a connection belongs to the runtime that opened it.
pub async fn run(shared: Arc<Shared>, client: usize) {
    let mut due: HashMap<Arc<str>, Instant> = HashMap::new();
    let mut checks = JoinSet::new();
    let mut tick = interval(TICK);
    loop {
        tick.tick().await;
        while checks.try_join_next().is_some() {}
        let Some(snapshot) = shared.snapshot.load_full() else { continue };
        due.retain(|name, _| snapshot.checked.iter().any(|check| check.provider.name == *name));
        let now = Instant::now();
        for check in &snapshot.checked {
            let at = due.entry(check.provider.name.clone()).or_insert(now);
            if *at <= now {
                // Proxies that started together do not ask together for ever.
                *at = now + check.interval.mul_f64(0.9 + fastrand::f64() / 5.0);
                checks.spawn(one(snapshot.clone(), check.provider.clone(), client));
            }
        }
    }
}

/// A provider that is checked, and how often.
#[derive(Debug)]
pub struct Check {
    pub provider: Arc<Provider>,
    pub interval: Duration,
}

async fn one(snapshot: Arc<Snapshot>, provider: Arc<Provider>, client: usize) {
    let Upstream::Remote(remote) = &provider.upstream else { return };
    let found = match timeout(PATIENCE, ask(remote, client)).await {
        Ok(found) => found,
        Err(_) => Err(format!("it did not answer a check within {} s", PATIENCE.as_secs())),
    };
    if let Err(problem) = &found {
        tracing::debug!(provider = %provider.name, problem, "check failed");
    }
    for target in snapshot.targets_of(&provider) {
        Health::checked(target, &found);
    }
}

/// Any answer of a server that works will do, but that it does not know the key.
async fn ask(remote: &Remote, client: usize) -> Result<(), String> {
    let origin = remote.origins.get(client).ok_or("there is no client")?;
    let mut request = Request::new(Full::<Bytes>::default());
    *request.headers_mut() = remote.headers.clone();
    match origin.send(&remote.check, request, &Sent::default()).await {
        Ok(response) if response.status().is_server_error() => {
            Err(format!("it answered a check with status {}", response.status().as_u16()))
        }
        Ok(response) if response.status() == StatusCode::UNAUTHORIZED => {
            Err(format!("it {} (status 401)", Denial::Key.words()))
        }
        Ok(_) => Ok(()),
        Err(Failure::Unreachable) => Err("it can't be reached".to_owned()),
        Err(Failure::Closed) => Err("it closed the connection".to_owned()),
    }
}
