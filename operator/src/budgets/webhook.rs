//! Calls of budgets' webhooks: signed, each until it is answered with a 2xx, a few at a time.
//!
//! What is still to be sent is in `status.alerts`: whoever leads next sends it again, by the same key.

use std::{
    collections::{HashMap, HashSet},
    fmt::Write as _,
    io,
    net::SocketAddr,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Method, Request, Uri};
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{
        Client,
        connect::{
            HttpConnector,
            dns::{GaiResolver, Name},
        },
    },
    rt::{TokioExecutor, TokioTimer},
};
use ring::hmac;
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};
use tower_service::Service;

use crate::compile::webhook;

/// Who does not answer within this is called again later.
const TIMEOUT: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// Calls at once; all others wait for their turn.
const AT_ONCE: usize = 16;

/// Whom to call.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    url: Uri,
    secret: Vec<u8>,
}

impl Target {
    /// From what two Secrets hold.
    ///
    /// # Errors
    /// What to change in them.
    pub fn new(url: &str, secret: &str) -> Result<Self, String> {
        let url = webhook::url(url).map_err(|why| format!("what is given as the webhook's URL {why}"))?;
        Ok(Self { url, secret: secret.as_bytes().to_vec() })
    }
}

/// One call.
pub struct Call {
    pub target: Target,
    /// The same for each attempt, by whomever.
    pub key: String,
    pub body: String,
}

/// What came of an attempt.
pub struct Attempted {
    pub key: String,
    pub result: Result<(), String>,
}

type Http = Client<HttpsConnector<HttpConnector<Names>>, Full<Bytes>>;

/// All calls of one leader.
pub struct Webhooks {
    /// None where there is nobody to trust, and why.
    http: Result<Http, String>,
    under_way: HashSet<String>,
    failed: HashMap<String, Failed>,
    ended: (mpsc::Sender<Attempted>, mpsc::Receiver<Attempted>),
}

/// How often a call failed, and when it is tried again.
struct Failed {
    times: u32,
    again: Instant,
}

impl Webhooks {
    #[must_use]
    pub fn new() -> Self {
        Self {
            http: client(),
            under_way: HashSet::new(),
            failed: HashMap::new(),
            ended: mpsc::channel(AT_ONCE),
        }
    }

    /// Whether such a call may be made now.
    #[must_use]
    pub fn is_due(&self, key: &str) -> bool {
        self.under_way.len() < AT_ONCE
            && !self.under_way.contains(key)
            && self.failed.get(key).is_none_or(|failed| failed.again <= Instant::now())
    }

    /// Makes a call that is due; [`next`](Self::next) tells what came of it. Why it can't be made, otherwise.
    pub fn call(&mut self, call: Call) -> Result<(), String> {
        let http = self.http.clone()?;
        self.under_way.insert(call.key.clone());
        let ended = self.ended.0.clone();
        tokio::spawn(async move {
            let now = jiff::Timestamp::now().as_second();
            let result = attempt(&http, &call, now).await;
            let _nobody_asks = ended.send(Attempted { key: call.key, result }).await;
        });
        Ok(())
    }

    /// The next attempt that has ended.
    pub async fn next(&mut self) -> Attempted {
        let Some(attempted) = self.ended.1.recv().await else { return std::future::pending().await };
        self.under_way.remove(&attempted.key);
        if attempted.result.is_ok() {
            self.failed.remove(&attempted.key);
        } else {
            let failed = self
                .failed
                .entry(attempted.key.clone())
                .or_insert(Failed { times: 0, again: Instant::now() });
            failed.again = Instant::now() + pause(failed.times, fastrand::f64());
            failed.times = failed.times.saturating_add(1);
        }
        attempted
    }

    /// Another makes them now.
    pub fn forget_all(&mut self) {
        self.under_way.clear();
        self.failed.clear();
        self.ended = mpsc::channel(AT_ONCE);
    }

    /// Forgets the failures of calls that nobody wants to be made any more.
    pub fn forget(&mut self, wanted: impl Fn(&str) -> bool) {
        self.failed.retain(|key, _| wanted(key));
    }
}

/// Twice as long each time, and never all at the same moment: `lot` is from 0 to 1.
fn pause(failures: u32, lot: f64) -> Duration {
    let whole = FIRST_PAUSE.saturating_mul(1 << failures.min(20)).min(LONGEST_PAUSE);
    whole.mul_f64(0.5 + lot / 2.0)
}

fn client() -> Result<Http, String> {
    let https = HttpsConnectorBuilder::new().with_native_roots();
    let https = https.map_err(|error| {
        format!("there are no root certificates to trust: {error}; install ca-certificates")
    })?;
    let mut http = HttpConnector::new_with_resolver(Names(GaiResolver::new()));
    http.enforce_http(false);
    let connector = https.https_or_http().enable_http1().wrap_connector(http);
    // Calls are rare: none is worth a connection that is kept.
    let client = Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_max_idle_per_host(0)
        .build(connector);
    Ok(client)
}

/// Names of hosts, but for those of addresses that are not called: what a name stands for is known only now.
#[derive(Clone)]
struct Names(GaiResolver);

impl Service<Name> for Names {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Self::Response>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let found = self.0.call(name);
        Box::pin(async move {
            let found: Vec<_> = found.await?.filter(|address| webhook::may_be_called(address.ip())).collect();
            if found.is_empty() {
                return Err(io::Error::other("its name stands for no address that alerts are sent to"));
            }
            Ok(found.into_iter())
        })
    }
}

async fn attempt(http: &Http, call: &Call, now: i64) -> Result<(), String> {
    let Call { target, key, body } = call;
    let request = Request::builder()
        .method(Method::POST)
        .uri(&target.url)
        .header("content-type", "application/json")
        .header("user-agent", concat!("llm-operator/", env!("CARGO_PKG_VERSION")))
        .header("idempotency-key", key)
        .header("llm-signature", signature(&target.secret, now, body))
        .body(Full::new(Bytes::from(body.clone())))
        .map_err(|error| error.to_string())?;
    match timeout(TIMEOUT, http.request(request)).await {
        Ok(Ok(answer)) if answer.status().is_success() => Ok(()),
        Ok(Ok(answer)) => Err(format!("it answered {}, and must answer with a 2xx", answer.status())),
        // The URL may be a secret, and the text of an error never names more of it than the host.
        Ok(Err(error)) => Err(with_causes(&error)),
        Err(_) => Err(format!("no answer within {}s", TIMEOUT.as_secs())),
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// When it was signed, and the signature over that and the body: an old call that is sent once more by a third party
/// is seen to be old.
fn signature(secret: &[u8], now: i64, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let tag = hmac::sign(&key, format!("{now}.{body}").as_bytes());
    let mut text = format!("t={now},v1=");
    for byte in tag.as_ref() {
        let _infallible = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    /// By `printf '1764115200.{}' | openssl dgst -sha256 -hmac key`.
    #[test]
    fn a_signature_is_an_hmac_of_the_time_and_the_body() {
        assert_eq!(
            signature(b"key", 1_764_115_200, "{}"),
            "t=1764115200,v1=753732ae335013e617b8d560eab5874562a5464dc17514fdd23ec275a542d788"
        );
    }

    /// By whichever name: `localhost` stands for one that is.
    #[tokio::test]
    async fn a_name_that_stands_for_no_address_to_call_is_not_found() {
        let of = async |name: &str| Names(GaiResolver::new()).call(name.parse().unwrap()).await;
        assert!(of("localhost").await.unwrap().count() > 0);
        let refused = of("169.254.169.254").await.err().unwrap();
        assert!(refused.to_string().contains("no address"), "{refused}");
    }

    #[test]
    fn pauses_grow_to_five_minutes_and_are_never_the_same() {
        assert_eq!(pause(0, 1.0), Duration::from_secs(1));
        assert_eq!(pause(0, 0.0), Duration::from_millis(500));
        assert_eq!(pause(3, 1.0), Duration::from_secs(8));
        assert_eq!(pause(u32::MAX, 1.0), LONGEST_PAUSE);
    }

    #[test]
    fn a_target_that_cannot_be_called_says_what_to_change() {
        assert!(Target::new("https://hooks.example.com/a?b=c", "key").is_ok());
        let refused = |url: &str| Target::new(url, "key").err().unwrap();
        assert!(refused("ftp://hooks.example.com/").contains("https://"));
        assert!(refused("/path").contains("https://"));
        assert!(refused("not a url").contains("give one"));
        assert!(refused("http://169.254.169.254/").contains("credentials"));
    }
}
