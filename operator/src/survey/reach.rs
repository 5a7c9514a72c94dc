//! A question to an admin port. Those of pods are reached through the API server, by a plain GET of the pod's
//! `proxy` subresource: nothing has to be forwarded or installed. Those of other processes, or behind a port
//! that is forwarded, are reached by their address. They show no secret.

use std::{error::Error, fmt, time::Duration};

use bytes::Bytes;
use futures::stream::{self, StreamExt as _};
use http::{Request, StatusCode, Uri};
use http_body::Body;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::{
    client::legacy::{Client as HttpClient, connect::HttpConnector},
    rt::TokioExecutor,
};
use kube::{Client, core::Status};

use crate::observe::ObjectName;

/// One that has not told within this is no help to who waits.
const PATIENCE: Duration = Duration::from_secs(10);
/// Thousands of proxies or providers take less.
const LONGEST: usize = 32 * 1024 * 1024;
/// Characters of what a server says that is no answer.
const LONGEST_WORD: usize = 200;
/// Questions at once: a cluster may have thousands of sidecars, and one API server.
const AT_ONCE: usize = 16;

/// An admin port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Admin {
    Url(String),
    Pod { pod: ObjectName, port: i32 },
}

impl fmt::Display for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => f.write_str(url),
            Self::Pod { pod, .. } => write!(f, "{pod}"),
        }
    }
}

/// Who asks.
pub struct Asker {
    /// For pods.
    client: Option<Client>,
    http: HttpClient<HttpConnector, Empty<Bytes>>,
}

impl Asker {
    #[must_use]
    pub fn new(client: Option<Client>) -> Self {
        Self { client, http: HttpClient::builder(TokioExecutor::new()).build_http() }
    }

    /// What each answers at a path, in their order, or why it does not.
    pub async fn all(&self, admins: &[Admin], path: &str) -> Vec<(Admin, Result<Bytes, String>)> {
        let answers = admins.iter().map(async |admin| (admin.clone(), self.get(admin, path).await));
        stream::iter(answers).buffered(AT_ONCE).collect().await
    }

    /// What one answers at a path.
    ///
    /// # Errors
    /// Why it does not, and what to do about it.
    pub async fn get(&self, admin: &Admin, path: &str) -> Result<Bytes, String> {
        let asked = async {
            match admin {
                Admin::Url(base) => self.get_by_url(base, path).await,
                Admin::Pod { pod, port } => self.get_of_pod(pod, *port, path).await,
            }
        };
        tokio::time::timeout(PATIENCE, asked)
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {} s", PATIENCE.as_secs())))
    }

    async fn get_by_url(&self, base: &str, path: &str) -> Result<Bytes, String> {
        let answer = self.http.get(url(base, path)?).await.map_err(|error| root(&error))?;
        let status = answer.status();
        let body = whole(answer.into_body()).await?;
        if status == StatusCode::OK { Ok(body) } else { Err(answered(status, &body)) }
    }

    async fn get_of_pod(&self, pod: &ObjectName, port: i32, path: &str) -> Result<Bytes, String> {
        let client = self.client.as_ref().ok_or("there is no cluster to ask")?;
        let ObjectName { namespace, name } = pod;
        let uri = format!("/api/v1/namespaces/{namespace}/pods/{name}:{port}/proxy{path}");
        let request =
            Request::get(uri).body(kube::client::Body::empty()).map_err(|error| error.to_string())?;
        let answer = client.send(request).await.map_err(|error| root(&error))?;
        let status = answer.status();
        let body = whole(answer.into_body()).await?;
        if status == StatusCode::OK {
            return Ok(body);
        }
        // What speaks in a Status is the API server; a proxy or an operator never does.
        match serde_json::from_slice::<Status>(&body) {
            Ok(said) if said.code != 0 => Err(refused(&said, pod, port)),
            _ => Err(answered(status, &body)),
        }
    }
}

/// Why the API server did not pass it on.
fn refused(said: &Status, pod: &ObjectName, port: i32) -> String {
    let ObjectName { namespace, name } = pod;
    let forwarded = format!(
        "`kubectl -n {namespace} port-forward pod/{name} {port}` and give the address, http://127.0.0.1:{port}, yourself"
    );
    match said.code {
        401 | 403 => format!(
            "the API server does not let you: you need verb `get` on resource `pods/proxy` in namespace {namespace}. \
             Or {forwarded}"
        ),
        404 => format!("the API server says: {}", said.message),
        _ => format!(
            "the API server can't reach its port {port}: {}. Where a NetworkPolicy keeps it away (the chart's \
             `networkPolicy.monitoring`), {forwarded}",
            word(&said.message)
        ),
    }
}

async fn whole<B>(body: B) -> Result<Bytes, String>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let body = Limited::new(body, LONGEST).collect().await;
    Ok(body.map_err(|error| root(error.as_ref()))?.to_bytes())
}

fn answered(status: StatusCode, body: &[u8]) -> String {
    format!("answered {}: {}", status.as_u16(), word(String::from_utf8_lossy(body).trim()))
}

/// Text of another's, bounded and without what would move a cursor.
fn word(text: &str) -> String {
    text.chars().take(LONGEST_WORD).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Where it is; an address alone is taken as `http://ADDRESS`.
fn url(admin: &str, path: &str) -> Result<Uri, String> {
    let base = admin.trim_end_matches('/');
    let base = if base.contains("://") { base.to_owned() } else { format!("http://{base}") };
    let url: Uri = format!("{base}{path}").parse().map_err(|error| format!("no URL: {error}"))?;
    match (url.scheme_str(), url.host()) {
        (Some("http"), Some(_)) => Ok(url),
        _ => Err("admin ports speak plain HTTP: give http://HOST:PORT".to_owned()),
    }
}

/// What is at the bottom of an error: the top says only that there was one.
pub fn root(error: &dyn Error) -> String {
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
        let shown = |admin: &str| url(admin, "/debug/x").map(|url| url.to_string());
        let whole = Ok("http://h:1/debug/x".to_owned());
        assert_eq!([shown("h:1"), shown("http://h:1/")], [whole.clone(), whole]);
        assert!(shown("https://h:1").is_err_and(|error| error.contains("plain HTTP")));
        assert!(shown("http://a b").is_err_and(|error| error.contains("no URL")));
    }

    #[test]
    fn a_refusal_names_the_right_that_is_missing_and_the_way_round() {
        let pod = ObjectName::new("shop", "web-0");
        let said = |code, message: &str| {
            refused(&Status { code, message: message.to_owned(), ..Status::default() }, &pod, 14001)
        };
        let told = said(403, "pods \"web-0\" is forbidden");
        assert!(told.contains("verb `get` on resource `pods/proxy` in namespace shop"), "{told}");
        assert!(told.contains("`kubectl -n shop port-forward pod/web-0 14001`"), "{told}");
        let told = said(503, "error trying to reach service: dial tcp: i/o timeout\n");
        assert!(told.contains("i/o timeout ") && told.contains("NetworkPolicy"), "{told}");
        assert_eq!(said(404, "pods \"web-0\" not found"), "the API server says: pods \"web-0\" not found");
    }
}
