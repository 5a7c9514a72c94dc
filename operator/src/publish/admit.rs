//! Who may hold configuration, credentials included: a proxy shows a ServiceAccount token made for our
//! audience, and the API server says whose it is. Which ServiceAccount runs which gateway, the operator's
//! own settings say; a sidecar is its pod, whatever it says of itself.

use std::time::Duration;

use http::{HeaderMap, StatusCode, header};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use kube::{Api, Client, api::PostParams};
use llm_config::stream::AUDIENCE;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

use crate::{
    inject::SIDECAR,
    observe::{ObjectName, gateways::Gateways},
};

/// The claims in a projected token that name its pod.
const POD_UID: &str = "authentication.kubernetes.io/pod-uid";
const POD_NAME: &str = "authentication.kubernetes.io/pod-name";

/// Why a proxy is turned away.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error("no bearer token: mount a ServiceAccount token with the audience `{AUDIENCE}`")]
    NoToken,
    #[error("the token is not valid for the audience `{AUDIENCE}`: {0}")]
    InvalidToken(String),
    #[error(
        "{user} may not serve gateway `{gateway}`: name the ServiceAccount of its proxies in the operator's --gateways file"
    )]
    NotAllowed { user: String, gateway: String },
    #[error("{0} runs in no pod: a sidecar shows a token that is bound to its pod")]
    NoPod(String),
    #[error("pod {0} is not known as one with a sidecar: it needs the label `{SIDECAR}: \"true\"`")]
    NotASidecar(ObjectName),
    #[error("the operator has compiled nothing yet: come again")]
    NotReady,
    #[error("the API server can't review the token now: {0}")]
    Unavailable(String),
}

impl Refusal {
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NoToken | Self::InvalidToken(_) => StatusCode::UNAUTHORIZED,
            Self::NotAllowed { .. } | Self::NoPod(_) | Self::NotASidecar(_) => StatusCode::FORBIDDEN,
            Self::NotReady | Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// Whom the API server says the token is.
pub struct Identity {
    user: String,
    /// The pod that the token is bound to, where it is.
    pub pod: Option<String>,
    pod_uid: Option<String>,
}

/// A pod and who it runs as.
pub struct PodIdentity {
    pub pod: ObjectName,
    /// Tells it from another of the same name.
    pub uid: String,
    pub service_account: String,
}

impl Identity {
    /// Who it is, where it is a ServiceAccount.
    fn service_account(&self) -> Option<ObjectName> {
        let (namespace, name) = self.user.strip_prefix("system:serviceaccount:")?.split_once(':')?;
        Some(ObjectName::new(namespace, name))
    }

    /// The pod that it is.
    ///
    /// # Errors
    /// Where the token is bound to none.
    pub fn of_pod(&self) -> Result<PodIdentity, Refusal> {
        let account = self.service_account();
        let (Some(account), Some(pod), Some(uid)) = (account, &self.pod, &self.pod_uid) else {
            return Err(Refusal::NoPod(self.user.clone()));
        };
        let pod = ObjectName::new(account.namespace, pod.clone());
        Ok(PodIdentity { pod, uid: uid.clone(), service_account: account.name })
    }
}

/// Proxies that are looked at, at once: each costs the API server a review, and the operator what it says it holds.
const TURNS: usize = 32;
/// An API server that hangs is not to keep those who wait for longer than that, and their turn.
const REVIEW_TIMEOUT: Duration = Duration::from_secs(10);

/// Checks proxies.
pub struct Admission {
    client: Client,
    gateways: Gateways,
    turns: Semaphore,
}

impl Admission {
    pub fn new(client: Client, gateways: Gateways) -> Self {
        Self { client, gateways, turns: Semaphore::new(TURNS) }
    }

    /// Waits until a proxy may be looked at. One that hangs up meanwhile gives up its place in the queue.
    pub async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // It is never closed.
        self.turns.acquire().await.ok()
    }

    /// Whose token the request carries.
    pub async fn identify(&self, headers: &HeaderMap) -> Result<Identity, Refusal> {
        let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = authorization.and_then(|value| value.strip_prefix("Bearer "));
        let token = token.filter(|token| !token.is_empty()).ok_or(Refusal::NoToken)?;
        let review = TokenReview {
            spec: TokenReviewSpec {
                token: Some(token.to_owned()),
                audiences: Some(vec![AUDIENCE.to_owned()]),
            },
            ..TokenReview::default()
        };
        let reviews = Api::<TokenReview>::all(self.client.clone());
        let reviewed = timeout(REVIEW_TIMEOUT, reviews.create(&PostParams::default(), &review))
            .await
            .map_err(|_| Refusal::Unavailable("it does not answer".to_owned()))?;
        let status =
            reviewed.map_err(|error| Refusal::Unavailable(error.to_string()))?.status.unwrap_or_default();
        let for_us = status.audiences.iter().flatten().any(|audience| audience == AUDIENCE);
        if !status.authenticated.unwrap_or(false) || !for_us {
            return Err(Refusal::InvalidToken(
                status.error.unwrap_or_else(|| "not authenticated".to_owned()),
            ));
        }
        let UserInfo { username, extra, .. } = status.user.unwrap_or_default();
        let mut extra = extra.unwrap_or_default();
        let mut said = |of: &str| extra.remove(of)?.into_iter().next();
        Ok(Identity { user: username.unwrap_or_default(), pod: said(POD_NAME), pod_uid: said(POD_UID) })
    }

    /// Whether this identity runs the gateway.
    pub fn authorize(&self, identity: &Identity, gateway: &str) -> Result<(), Refusal> {
        let account = self.gateways.get(gateway).map(|gateway| &gateway.service_account);
        if account.is_some() && account == identity.service_account().as_ref() {
            return Ok(());
        }
        Err(Refusal::NotAllowed { user: identity.user.clone(), gateway: gateway.to_owned() })
    }
}
