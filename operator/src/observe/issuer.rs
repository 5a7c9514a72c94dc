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
use tokio::sync::Notify;

use super::Issuer;
use crate::metrics::Metrics;

/// New keys sign some time after they are shown: API servers are restarted one by one.
const PERIOD: Duration = Duration::from_secs(30);
/// After an answer that is none.
const RETRY: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(10);

/// What is known of them.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Known {
    NotYet,
    Refused,
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
            Known::Refused => Some(None),
            Known::Shown(issuer) => Some(Some(issuer.clone())),
        }
    }
}

async fn follow(client: Client, known: Arc<Mutex<Known>>, changed: Arc<Notify>, metrics: Arc<Metrics>) {
    loop {
        let asked = tokio::time::timeout(TIMEOUT, ask(&client)).await;
        let (next, pause) = match asked {
            Ok(Ok(issuer)) => (Some(Known::Shown(issuer)), PERIOD),
            Ok(Err(error)) => {
                metrics.watch_errors.inc();
                tracing::warn!(%error, "the API server does not show the keys of its tokens");
                (is_refusal(&error).then_some(Known::Refused), RETRY)
            }
            Err(_) => (None, RETRY),
        };
        {
            let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
            // Keys that were shown stay good when the API server has troubles.
            if let Some(next) = next
                && *known != next
                && !(next == Known::Refused && matches!(*known, Known::Shown(_)))
            {
                *known = next;
                changed.notify_one();
            }
        }
        tokio::time::sleep(pause).await;
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

/// Whether the answer will stay what it is until somebody changes the cluster's settings.
fn is_refusal(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if matches!(status.code, 401 | 403 | 404))
}
