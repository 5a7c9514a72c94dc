//! The public keys by which the cluster signs ServiceAccount tokens, as the API server shows them to whom it has
//! bound `system:service-account-issuer-discovery`. There is no watch for them, so they are asked for now and then.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::Request;
use kube::Client;
use llm_config::TokenKey;
use serde::{Deserialize, de::DeserializeOwned};
use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};

use super::Issuer;
use crate::metrics::Metrics;

/// New keys sign some time after they are shown: API servers are restarted one by one.
const PERIOD: Duration = Duration::from_secs(30);
/// After an answer that is none.
const RETRY: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long everybody waits for keys that were never shown. An API server that starts refuses everybody until it has
/// read its own roles, and an operator that starts then must not take the keys from the proxies that have them.
const LASTING: Duration = Duration::from_secs(60);

/// What is known of them.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Known {
    NotYet,
    NotShown,
    Shown(Issuer),
}

/// Asks for the keys.
pub struct IssuerWatch(Arc<Mutex<Known>>);

impl IssuerWatch {
    pub fn start(client: Client, changed: Arc<Notify>, metrics: Arc<Metrics>) -> Self {
        let known = Arc::new(Mutex::new(Known::NotYet));
        tokio::spawn(follow(client, known.clone(), changed, metrics));
        Self(known)
    }

    /// The keys, once it is known whether they can be had.
    pub fn get(&self) -> Option<Option<Issuer>> {
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Known::NotYet => None,
            Known::NotShown => Some(None),
            Known::Shown(issuer) => Some(Some(issuer.clone())),
        }
    }
}

async fn follow(client: Client, known: Arc<Mutex<Known>>, changed: Arc<Notify>, metrics: Arc<Metrics>) {
    let mut failing: Option<Instant> = None;
    loop {
        let asked = timeout(TIMEOUT, ask(&client)).await.map_err(|_| "no answer in time".to_owned());
        let next = match asked.and_then(|asked| asked.map_err(|error| error.to_string())) {
            Ok(issuer) => {
                failing = None;
                Some(Known::Shown(issuer))
            }
            Err(error) => {
                metrics.watch_errors.inc();
                if failing.is_none() {
                    tracing::warn!(error, "the API server does not show the keys of its tokens");
                }
                let since = *failing.get_or_insert_with(Instant::now);
                (since.elapsed() >= LASTING).then_some(Known::NotShown)
            }
        };
        let settled = next.is_some();
        {
            let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
            // Keys that were shown stay good when the API server has troubles.
            if let Some(next) = next
                && *known != next
                && !(next == Known::NotShown && matches!(*known, Known::Shown(_)))
            {
                *known = next;
                changed.notify_one();
            }
        }
        tokio::time::sleep(if settled { PERIOD } else { RETRY }).await;
    }
}

#[derive(Deserialize)]
struct Configuration {
    issuer: String,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<TokenKey>,
}

async fn ask(client: &Client) -> Result<Issuer, kube::Error> {
    let Configuration { issuer } = get(client, "/.well-known/openid-configuration").await?;
    let KeySet { mut keys } = get(client, "/openid/v1/jwks").await?;
    // Their order means nothing, and a change of it is none.
    keys.sort_by(|a, b| a.kid.cmp(&b.kid));
    Ok(Issuer { name: issuer, keys })
}

async fn get<T: DeserializeOwned>(client: &Client, path: &str) -> Result<T, kube::Error> {
    let request = Request::get(path).body(Vec::new()).map_err(kube::Error::HttpError)?;
    let text = client.request_text(request).await?;
    serde_json::from_str(&text).map_err(kube::Error::SerdeError)
}
