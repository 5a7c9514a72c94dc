//! Callers that a document knows by the certificate of their connection.

use crate::documents::{call, completion, document};
use harness::http::{Answer, json_request, with_key};
use harness::https::Connection;
use harness::{Authority, Identity, Proxy, RawUpstream, ServingPair, Step, answer, eventually, tool};
use http::Version;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::process::Command;

const SOON: Duration = Duration::from_secs(20);

/// A proxy that takes certificates of an authority of the callers' own.
struct Scene {
    pair: ServingPair,
    callers: Authority,
    proxy: Proxy,
    _upstream: RawUpstream,
}

impl Scene {
    async fn start(anonymous: bool) -> Self {
        let (pair, callers) = (ServingPair::new(), Authority::named("callers"));
        let upstream = RawUpstream::start([vec![Step::Send(answer(200, &completion("hello")))]]).await;
        let mut document = document(&[upstream.url()]);
        let certificates = json!([{"ca": callers.pem()}]);
        let keys = json!([{"name": "of-key", "sha256": sha256("pk-1")}]);
        document["callers"] =
            json!({"shown": {"anonymous": anonymous, "certificates": certificates, "keys": keys}});
        let arguments = pair.arguments(&[]);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let proxy = Proxy::start(&document, &arguments).await;
        Self { pair, callers, proxy, _upstream: upstream }
    }

    async fn connect(&self, identity: Option<&Identity>) -> Connection {
        let version = Version::HTTP_2;
        Connection::open(self.proxy.tls(), &self.pair.authority, identity, version).await.unwrap()
    }
}

fn sha256(key: &str) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(key).iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn chat(connection: &mut Connection) -> Answer {
    connection.send(json_request("/v1/chat/completions", &call())).await.unwrap()
}

fn refused(answer: &Answer, code: &str, said: &str) {
    assert_eq!((answer.status.as_u16(), &answer.json()["error"]["code"]), (401, &json!(code)), "{answer:?}");
    assert!(answer.text().contains(said), "{said}: {answer:?}");
}

#[tokio::test]
async fn a_certificate_that_is_not_taken_is_refused_with_the_reason_in_the_callers_dialect() {
    let scene = Scene::start(false).await;
    let foreign = Authority::named("others").client("partner", "x");
    let mut connection = scene.connect(Some(&foreign)).await;
    let said = "no authority of this gateway has signed it; its issuer is 'CN=others'";
    refused(&chat(&mut connection).await, "invalid_client_certificate", said);
    let messages = json!({"model": "large", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]});
    let answer = connection.send(json_request("/v1/messages", &messages)).await.unwrap();
    assert_eq!(answer.json()["error"]["type"], "authentication_error", "{answer:?}");
    assert!(answer.text().contains(said), "{answer:?}");
    // A namesake of the authority with another key.
    let forged = Authority::named("callers").client("partner", "x");
    let answer = chat(&mut scene.connect(Some(&forged)).await).await;
    refused(&answer, "invalid_client_certificate", "its issuer is 'CN=callers'");
    let server = scene.callers.server(&["partner"]);
    let answer = chat(&mut scene.connect(Some(&server)).await).await;
    refused(&answer, "invalid_client_certificate", "must have clientAuth");
    let nobody = scene.callers.workload("spiffe://cluster.local/ns/shop/sa/web");
    let answer = chat(&mut scene.connect(Some(&nobody)).await).await;
    refused(&answer, "invalid_client_certificate", "set trustDomain beside the authority");

    // Who shows nothing is told what to show, and who shows a key needs no certificate that is good.
    let mut without = scene.connect(None).await;
    refused(&chat(&mut without).await, "missing_api_key", "Or call by https with a client certificate");
    for connection in [&mut without, &mut connection] {
        let request = with_key(json_request("/v1/chat/completions", &call()), "pk-1");
        assert_eq!(connection.send(request).await.unwrap().status, 200);
    }
    let lines = scene.proxy.await_requests(8).await;
    assert_eq!(lines[7]["caller_key"], "of-key", "{lines:?}");
}

#[tokio::test]
async fn a_caller_is_known_by_its_certificate_whatever_key_its_sdk_wants() {
    let scene = Scene::start(false).await;
    let partner = scene.callers.client("partner", "x");
    let mut connection = scene.connect(Some(&partner)).await;
    assert_eq!(chat(&mut connection).await.status, 200);
    let any_key = with_key(json_request("/v1/chat/completions", &call()), "sk-none");
    assert_eq!(connection.send(any_key).await.unwrap().status, 200);
    // One that says who calls is the call's own.
    let other = with_key(json_request("/v1/chat/completions", &call()), "pk-1");
    assert_eq!(connection.send(other).await.unwrap().status, 200);
    let lines = scene.proxy.await_requests(3).await;
    let callers = |field: &str| -> Vec<Option<&Value>> { lines.iter().map(|line| line.get(field)).collect() };
    let (partner, key) = (json!("partner"), json!("of-key"));
    assert_eq!(callers("caller_certificate"), [Some(&partner), Some(&partner), None]);
    assert_eq!(callers("caller_key"), [None, None, Some(&key)]);
    let labels = [("caller_certificate", "partner"), ("status_class", "2xx")];
    assert_eq!(scene.proxy.metric("llm_gateway_caller_requests_total", &labels).await, 2.0);
}

#[tokio::test]
async fn a_connection_does_not_outlive_its_certificate() {
    let scene = Scene::start(false).await;
    let passing = scene.callers.short_lived_client("passing", Duration::from_secs(4));
    let mut connection = scene.connect(Some(&passing)).await;
    assert_eq!(chat(&mut connection).await.status, 200);
    let answer = eventually("the certificate is over", SOON, async || {
        let answer = chat(&mut connection).await;
        if answer.status == 200 { Err("not yet".to_owned()) } else { Ok(answer) }
    })
    .await;
    refused(&answer, "invalid_client_certificate", "it has expired, at 20");
}

#[tokio::test]
async fn where_anyone_may_call_a_certificate_still_says_who_does() {
    let scene = Scene::start(true).await;
    let foreign = Authority::named("others").client("partner", "x");
    let over = scene.callers.short_lived_client("over", Duration::ZERO);
    let partner = scene.callers.client("partner", "x");
    for (identity, status) in [(None, 200), (Some(&foreign), 200), (Some(&partner), 200), (Some(&over), 401)]
    {
        // By the second in which it ends it is still good.
        eventually("the answer", SOON, async || {
            let answer = chat(&mut scene.connect(identity).await).await;
            if answer.status == status { Ok(()) } else { Err(format!("{answer:?}")) }
        })
        .await;
    }
    let lines = scene.proxy.await_requests(3).await;
    let known = lines.iter().filter(|line| line["caller_certificate"] == "partner").count();
    assert_eq!(known, 1, "{lines:?}");
}

/// The clients that people use: curl, and OpenAI's SDK with the client of HTTP that it is given.
#[tokio::test]
async fn curl_and_the_sdk_of_openai_show_their_certificates() {
    let scene = Scene::start(false).await;
    let partner = scene.callers.client("partner", "x");
    let scratch = harness::Scratch::new("client");
    let file = |name: &str, text: &str| scratch.write(name, text).to_str().unwrap().to_owned();
    let ca = file("ca.crt", &scene.pair.authority.pem());
    let (certificate, key) = (file("tls.crt", &partner.certificate), file("tls.key", &partner.key));
    let url = format!("https://localhost:{}", scene.proxy.tls().port());
    let mut python = Command::new(tool("venv/bin/python"));
    python.args(["-c", include_str!("client_certificate.py"), &url, &ca, &certificate, &key]);
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--cacert", &ca, "--cert", &certificate, "--key", &key]);
    curl.args(["-H", "content-type: application/json", "-d", &call().to_string()]);
    curl.arg(format!("{url}/v1/chat/completions"));
    for mut command in [python, curl] {
        let output = command.kill_on_drop(true).output().await.unwrap();
        assert!(String::from_utf8_lossy(&output.stdout).contains("hello"), "{output:?}");
    }
    let lines = scene.proxy.await_requests(2).await;
    assert!(lines.iter().all(|line| line["caller_certificate"] == "partner"), "{lines:?}");
}
