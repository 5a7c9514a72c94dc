//! The watches against an API server that answers as each test says, on a clock that stands still
//! unless everybody waits.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::convert::Infallible;

use bytes::Bytes;
use futures::stream::{self, BoxStream};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::StreamBody;
use kube::client::Body;
use serde_json::{Value, json};

use super::*;

type Reply = Response<StreamBody<BoxStream<'static, Result<Frame<Bytes>, Infallible>>>>;
/// What is answered for each Secret by name: a status and, for 200, the value of its key `k`.
type Answers = Arc<Mutex<BTreeMap<&'static str, (u16, Option<&'static str>)>>>;

const HOUR: Duration = Duration::from_secs(3600);
/// Never answered.
const HANGS: u16 = 0;

struct Scene {
    answers: Answers,
    watches: EntryWatches<Secret>,
    wanted: BTreeSet<ObjectName>,
}

impl Scene {
    fn new(answers: &[(&'static str, u16, Option<&'static str>)]) -> Self {
        let answers: Answers =
            Arc::new(Mutex::new(answers.iter().map(|(n, code, value)| (*n, (*code, *value))).collect()));
        let served = answers.clone();
        let service = tower::service_fn(move |request: Request<Body>| reply(served.clone(), request));
        let watches =
            EntryWatches::new(Client::new(service, "ai"), Arc::default(), Arc::new(Metrics::default()));
        let wanted = answers.lock().unwrap().keys().map(|name| ObjectName::new("ai", *name)).collect();
        Self { answers, watches, wanted }
    }

    fn now(&self, name: &'static str, code: u16, value: Option<&'static str>) {
        self.answers.lock().unwrap().insert(name, (code, value));
    }

    /// What is known when so much time has passed.
    async fn after(&mut self, time: Duration) -> Option<Vec<SecretState>> {
        self.watches.follow(&self.wanted);
        tokio::time::sleep(time).await;
        self.watches.follow(&self.wanted).map(|known| known.into_values().collect())
    }
}

async fn reply(answers: Answers, request: Request<Body>) -> Result<Reply, Infallible> {
    let query = request.uri().query().unwrap_or_default().to_owned();
    let found = answers
        .lock()
        .unwrap()
        .iter()
        .find(|(name, _)| query.contains(&format!("metadata.name%3D{name}&")))
        .map(|(name, (code, value))| (*name, *code, *value));
    let (name, code, value) = found.unwrap();
    if code == HANGS {
        std::future::pending::<()>().await;
    }
    if code == 200 && query.contains("watch=true") {
        // A watch with nothing to tell, which the server ends after a second.
        let idle = stream::once(tokio::time::sleep(Duration::from_secs(1)));
        return Ok(Response::new(StreamBody::new(idle.filter_map(async |()| None).boxed())));
    }
    let body = if code == 200 { list(name, value) } else { failure(code) };
    let frame = Frame::data(Bytes::from(body.to_string()));
    let mut response = Response::new(StreamBody::new(stream::iter([Ok(frame)]).boxed()));
    *response.status_mut() = code.try_into().unwrap();
    Ok(response)
}

fn list(name: &str, value: Option<&str>) -> Value {
    let data = |value: &str| json!({"k": k8s_openapi::ByteString(value.as_bytes().to_vec())});
    let items: Vec<Value> = value
        .iter()
        .map(|value| json!({"metadata": {"name": name, "namespace": "ai", "resourceVersion": "1"}, "data": data(value)}))
        .collect();
    json!({"apiVersion": "v1", "kind": "SecretList", "metadata": {"resourceVersion": "1"}, "items": items})
}

fn failure(code: u16) -> Value {
    json!({"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code, "reason": "R", "message": "no"})
}

fn present(value: &str) -> SecretState {
    SecretState::Present([("k".to_owned(), value.as_bytes().to_vec())].into())
}

#[tokio::test(start_paused = true)]
async fn what_is_no_answer_says_nothing_however_long_it_lasts() {
    for code in [500, 503, 429, 401, HANGS] {
        let mut scene = Scene::new(&[("keys", code, None), ("other", 200, Some("sk"))]);
        assert_eq!(scene.after(HOUR).await, None, "{code}");
    }
    let mut scene = Scene::new(&[("keys", 503, None)]);
    assert_eq!(scene.after(HOUR).await, None);
    scene.now("keys", 200, Some("sk"));
    assert_eq!(scene.after(HOUR).await, Some(vec![present("sk")]));
}

#[tokio::test(start_paused = true)]
async fn an_empty_list_a_403_and_a_404_are_answers_that_hold_up_nobody() {
    let secrets = [("a", 200, None), ("b", 403, None), ("c", 404, None), ("d", 200, Some("sk"))];
    let known = Scene::new(&secrets).after(Duration::from_millis(1)).await;
    let refused = SecretState::Unreadable("no".to_owned());
    assert_eq!(known, Some(vec![SecretState::Absent, refused, SecretState::Absent, present("sk")]));
}

#[tokio::test(start_paused = true)]
async fn what_was_read_stays_while_the_api_server_is_away() {
    let mut scene = Scene::new(&[("keys", 200, Some("sk"))]);
    assert_eq!(scene.after(Duration::from_millis(1)).await, Some(vec![present("sk")]));
    for code in [503, 429, HANGS] {
        scene.now("keys", code, None);
        assert_eq!(scene.after(HOUR).await, Some(vec![present("sk")]), "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_read_is_given_up_only_for_a_refusal_that_lasts() {
    let mut scene = Scene::new(&[("keys", 200, Some("sk"))]);
    assert_eq!(scene.after(Duration::from_millis(1)).await, Some(vec![present("sk")]));
    scene.now("keys", 403, None);
    assert_eq!(scene.after(LASTING / 2).await, Some(vec![present("sk")]));
    scene.now("keys", 200, Some("sk"));
    assert_eq!(scene.after(HOUR).await, Some(vec![present("sk")]));
    scene.now("keys", 403, None);
    assert_eq!(scene.after(LASTING / 2).await, Some(vec![present("sk")]));
    assert_eq!(scene.after(LASTING * 2).await, Some(vec![SecretState::Unreadable("no".to_owned())]));
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_is_named_later_and_never_shown_holds_up_the_others_for_a_while_only() {
    let mut scene = Scene::new(&[("keys", 200, Some("sk"))]);
    assert_eq!(scene.after(Duration::from_millis(1)).await, Some(vec![present("sk")]));
    scene.now("late", 503, None);
    scene.wanted.insert(ObjectName::new("ai", "late"));
    assert_eq!(scene.after(PATIENCE / 2).await, None);
    let known = scene.after(PATIENCE).await.unwrap();
    assert_eq!(known[0], present("sk"));
    assert!(
        matches!(&known[1], SecretState::Unreadable(why) if why.starts_with("not known yet: ")),
        "{known:?}"
    );
}
