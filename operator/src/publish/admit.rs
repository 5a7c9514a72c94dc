//! Who may hold a gateway's configuration, credentials included: a proxy shows a ServiceAccount token
//! made for our audience, the API server says whose it is, and the operator's own settings say which
//! ServiceAccount runs which gateway.

use std::collections::BTreeMap;

use http::{HeaderMap, StatusCode, header};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use kube::{Api, Client, api::PostParams};
use llm_config::stream::AUDIENCE;

use crate::observe::ObjectName;

/// The claim in a projected token that names its pod.
const POD_NAME: &str = "authentication.kubernetes.io/pod-name";

/// Why a proxy is turned away.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error("no bearer token: mount a ServiceAccount token with the audience `{AUDIENCE}`")]
    NoToken,
    #[error("the token is not valid for the audience `{AUDIENCE}`: {0}")]
    InvalidToken(String),
    #[error(
        "{user} may not serve gateway `{gateway}`: start the operator with --gateway {gateway}=NAMESPACE/SERVICEACCOUNT of its proxies"
    )]
    NotAllowed { user: String, gateway: String },
    #[error("the API server can't review the token now: {0}")]
    Unavailable(String),
}

impl Refusal {
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NoToken | Self::InvalidToken(_) => StatusCode::UNAUTHORIZED,
            Self::NotAllowed { .. } => StatusCode::FORBIDDEN,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// Whom the API server says the token is.
pub struct Identity {
    pub service_account: String,
    /// The pod that the token is bound to, where it is.
    pub pod: Option<String>,
}

/// Checks proxies.
pub struct Admission {
    client: Client,
    gateways: BTreeMap<String, ObjectName>,
}

impl Admission {
    pub fn new(client: Client, gateways: BTreeMap<String, ObjectName>) -> Self {
        Self { client, gateways }
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
        let reviewed =
            Api::<TokenReview>::all(self.client.clone()).create(&PostParams::default(), &review).await;
        let status =
            reviewed.map_err(|error| Refusal::Unavailable(error.to_string()))?.status.unwrap_or_default();
        let for_us = status.audiences.iter().flatten().any(|audience| audience == AUDIENCE);
        if !status.authenticated.unwrap_or(false) || !for_us {
            return Err(Refusal::InvalidToken(
                status.error.unwrap_or_else(|| "not authenticated".to_owned()),
            ));
        }
        let UserInfo { username, extra, .. } = status.user.unwrap_or_default();
        let pod = extra.and_then(|mut extra| extra.remove(POD_NAME)?.into_iter().next());
        Ok(Identity { service_account: username.unwrap_or_default(), pod })
    }

    /// Whether this identity runs the gateway.
    pub fn authorize(&self, identity: &Identity, gateway: &str) -> Result<(), Refusal> {
        let allowed = self.gateways.get(gateway).is_some_and(|account| {
            identity.service_account
                == format!("system:serviceaccount:{}:{}", account.namespace, account.name)
        });
        if allowed {
            return Ok(());
        }
        Err(Refusal::NotAllowed { user: identity.service_account.clone(), gateway: gateway.to_owned() })
    }
}
