//! A question to the admin port of a proxy, by plain HTTP: it is for those who can reach it, and shows
//! no secret.

use std::{error::Error, time::Duration};

use bytes::Bytes;
use http::{StatusCode, Uri};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};

use crate::{admin::providers::ProviderHealth, stage::identify::excerpt};

/// A proxy that has not told within this is no help to who waits.
const PATIENCE: Duration = Duration::from_secs(5);
/// Thousands of providers take less.
const LONGEST: usize = 16 * 1024 * 1024;

type Asker = Client<HttpConnector, Empty<Bytes>>;

/// What each tells, or why it does not.
pub async fn all(admins: &[String]) -> Vec<Result<Vec<ProviderHealth>, String>> {
    let client: Asker = Client::builder(TokioExecutor::new()).build_http();
    futures::future::join_all(admins.iter().map(|admin| one(&client, admin))).await
}

async fn one(client: &Asker, admin: &str) -> Result<Vec<ProviderHealth>, String> {
    let url = url(admin)?;
    tokio::time::timeout(PATIENCE, read(client, url))
        .await
        .unwrap_or_else(|_| Err(format!("no answer within {} s", PATIENCE.as_secs())))
}

async fn read(client: &Asker, url: Uri) -> Result<Vec<ProviderHealth>, String> {
    let answer = client.get(url).await.map_err(|error| root(&error))?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), LONGEST).collect().await;
    let body = body.map_err(|error| root(error.as_ref()))?.to_bytes();
    if status != StatusCode::OK {
        let said = excerpt(String::from_utf8_lossy(&body).trim());
        return Err(format!("answered {}: {said}", status.as_u16()));
    }
    serde_json::from_slice(&body).map_err(|error| format!("answered no list of providers: {error}"))
}

/// Where the list is; an address alone is taken as `http://ADDRESS`.
fn url(admin: &str) -> Result<Uri, String> {
    let base = admin.trim_end_matches('/');
    let base = if base.contains("://") { base.to_owned() } else { format!("http://{base}") };
    let url: Uri = format!("{base}/debug/providers").parse().map_err(|error| format!("no URL: {error}"))?;
    match (url.scheme_str(), url.host()) {
        (Some("http"), Some(_)) => Ok(url),
        _ => Err("admin ports speak plain HTTP: give http://HOST:PORT".to_owned()),
    }
}

/// What is at the bottom of an error: the top says only that there was one.
fn root(error: &dyn Error) -> String {
    let mut error = error;
    while let Some(cause) = error.source() {
        error = cause;
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_url_and_tls_is_not_spoken() {
        let shown = |admin: &str| url(admin).map(|url| url.to_string());
        let whole = Ok("http://h:1/debug/providers".to_owned());
        assert_eq!([shown("h:1"), shown("http://h:1/")], [whole.clone(), whole]);
        assert!(shown("https://h:1").is_err_and(|error| error.contains("plain HTTP")));
        assert!(shown("http://a b").is_err_and(|error| error.contains("no URL")));
    }
}
