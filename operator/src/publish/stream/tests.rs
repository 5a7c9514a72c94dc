//! Conversations with proxies that are this test: no connection, and a clock that runs as soon as all wait.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeMap;

use kube::{Client, client::Body as ApiBody};
use llm_config::{
    Document, Route, Rule, Share,
    section::{Section, Update},
    stream::AUDIENCE,
};
use serde_json::json;
use tokio::task::JoinSet;

use super::*;
use crate::{observe::gateways, publish::attached::ProxyName, shares::roster::Roster};

type Said = StreamBody<BoxStream<'static, Result<Frame<Bytes>, Infallible>>>;

const LIFETIME: Duration = Duration::from_secs(60 * 60);

/// The other ends of a conversation.
struct Proxy {
    attached: Arc<Attached>,
    targets: watch::Sender<Option<Arc<Targets>>>,
    updates: mpsc::Receiver<Bytes>,
    replaced: oneshot::Sender<()>,
    // Kept, for a proxy that hangs up ends the conversation too.
    says: mpsc::Sender<Bytes>,
}

/// What a gateway holds whose only route has a model of a name so long.
fn targets(long: usize) -> Targets {
    let fleet = Fleet::gateway("default");
    let rule = Rule { models: vec!["m".repeat(long)], ..Rule::default() };
    let routes = BTreeMap::from([("ns/a".to_owned(), Arc::new(Route { rules: vec![rule] }))]);
    let target = Target::of(&fleet, &Document { routes, ..Document::default() }, None);
    Targets { fleets: BTreeMap::from([(fleet, target)]), ..Targets::default() }
}

/// What a proxy says, by hand.
fn said(said: mpsc::Receiver<Bytes>) -> Said {
    let next = async |mut said: mpsc::Receiver<Bytes>| Some((Ok(Frame::data(said.recv().await?)), said));
    StreamBody::new(stream::unfold(said, next).boxed())
}

fn conversation(targets: Targets) -> (Conversation<Said>, oneshot::Receiver<()>, Proxy) {
    let attached = Arc::new(Attached::new(Arc::default()));
    let name = ProxyName::OfGateway { gateway: "default".to_owned(), proxy: "a".to_owned() };
    let (place, _until_replaced) =
        attached.attach(name, None, "0.1.0".to_owned(), Arc::default(), Vec::new());
    let (sender, receiver) = watch::channel(Some(Arc::new(targets)));
    let (updates, sent) = mpsc::channel(PIECES);
    let (replaced, until_replaced) = oneshot::channel();
    let (says, heard) = mpsc::channel(1);
    let conversation = Conversation {
        targets: receiver,
        member: Member::OfGateway { gateway: "default".to_owned(), proxy: "a".to_owned() },
        ends: Instant::now() + LIFETIME,
        fleet: None,
        holds: Arc::default(),
        holds_of_own: Digests::new(),
        refused: None,
        generation: 0,
        messages: Messages { body: said(heard), lines: Lines::new(LONGEST_MESSAGE) },
        updates,
        place,
    };
    (conversation, until_replaced, Proxy { attached, targets: sender, updates: sent, replaced, says })
}

/// How a conversation ends, if it does within twice its life.
async fn end(conversation: Conversation<Said>, replaced: oneshot::Receiver<()>) -> String {
    match timeout(2 * LIFETIME, conversation.run(replaced)).await {
        Ok(Err(ended)) => ended.to_string(),
        Err(_) => "never".to_owned(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_fleet_for_which_nothing_is_compiled_takes_nothing_from_its_proxies() {
    let (conversation, replaced, mut proxy) = conversation(Targets::default());
    assert_eq!(end(conversation, replaced).await, "nothing is compiled for gateway/default");
    assert!(proxy.updates.try_recv().is_err(), "the proxy goes on with what it has");
}

#[tokio::test(start_paused = true)]
async fn who_waits_to_send_what_is_long_hears_why_it_need_not() {
    let others = LONG_AT_ONCE.acquire_many(64).await;
    let waiting = || conversation(targets(2 * LONG));

    let (conversation, replaced, proxy) = waiting();
    drop(proxy.replaced);
    assert_eq!(end(conversation, replaced).await, Ended::Replaced.to_string());

    let (conversation, replaced, proxy) = waiting();
    drop(proxy.targets);
    assert_eq!(end(conversation, replaced).await, Ended::Ending.to_string());

    let (conversation, replaced, proxy) = waiting();
    drop(proxy.updates);
    assert_eq!(end(conversation, replaced).await, Ended::HungUp.to_string());

    let (conversation, replaced, _proxy) = waiting();
    assert_eq!(end(conversation, replaced).await, Ended::Outlived.to_string());
    drop(others);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_an_answer_hears_that_another_stream_takes_its_place() {
    let (conversation, replaced, proxy) = conversation(targets(1));
    drop(proxy.replaced);
    assert_eq!(end(conversation, replaced).await, Ended::Replaced.to_string());

    let (conversation, replaced, _proxy) = self::conversation(targets(1));
    assert_eq!(end(conversation, replaced).await, Ended::NoAnswer { generation: 1 }.to_string());
}

/// What the same gateway holds with a pool whose limits all proxies share.
fn sharing(roster: Option<Roster>) -> Targets {
    let provider = json!({
        "name": "p", "priority": 0, "weight": 1, "limits": {"scope": "Cluster", "concurrent": 3},
        "upstream": {"kind": "OpenAI", "endpoint": "http://127.0.0.1"},
        "models": [{"name": "m", "upstreamName": "m", "price": {"input": 0, "cachedInput": 0, "cacheWrite": 0, "output": 0}}],
    });
    let document = serde_json::from_value(json!({"pools": {"ai/p": {"providers": [provider]}}})).unwrap();
    let fleet = Fleet::gateway("default");
    let target = Target::of(&fleet, &document, None);
    let fleets = BTreeMap::from([(fleet, target)]);
    Targets { fleets, roster: roster.map(Arc::new), ..Targets::default() }
}

#[tokio::test(start_paused = true)]
async fn a_share_is_told_when_it_is_known_and_taken_back_where_nothing_is_shared() {
    let (conversation, replaced, mut proxy) = conversation(sharing(None));
    let talk = tokio::spawn(conversation.run(replaced));
    assert!(timeout(LIFETIME / 2, proxy.updates.recv()).await.is_err(), "no share is no share of nothing");
    let roster = json!([{"pools": ["ai/p"], "proxies": ["gateway/default/b", "gateway/default/a"]}]);
    proxy.targets.send_replace(Some(Arc::new(sharing(serde_json::from_value(roster).unwrap()))));
    let update: Update = serde_json::from_slice(&proxy.updates.recv().await.unwrap()).unwrap();
    let share = Share { of: 2, place: 1 };
    assert_eq!(*update.put[SHARES].section, Section::Shares([("ai/p".to_owned(), share)].into()));
    assert!(update.put.contains_key("pool/ai/p"));
    proxy.says.send("{\"type\":\"ack\",\"generation\":1}\n".into()).await.unwrap();

    proxy.targets.send_replace(Some(Arc::new(targets(1))));
    let update: Update = serde_json::from_slice(&proxy.updates.recv().await.unwrap()).unwrap();
    assert_eq!(update.remove, ["pool/ai/p", SHARES]);
    drop(proxy);
    assert!(talk.await.unwrap().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_goodbye_is_heard_between_updates_and_in_answer_to_one_and_ends_the_stream() {
    for answers in [true, false] {
        let (conversation, replaced, mut proxy) = conversation(targets(1));
        let talk = tokio::spawn(end(conversation, replaced));
        proxy.updates.recv().await.unwrap();
        if answers {
            proxy.says.send("{\"type\":\"ack\",\"generation\":1}\n".into()).await.unwrap();
        }
        // What this operator does not know means no harm.
        proxy.says.send("{\"type\":\"of a newer proxy\"}\n".into()).await.unwrap();
        proxy.says.send(format!("{}\n", json!(FromProxy::Bye)).into()).await.unwrap();
        assert_eq!(proxy.updates.recv().await, None, "so it knows that it has been heard");
        assert_eq!(talk.await.unwrap(), Ended::Goodbye.to_string());
        assert_eq!(proxy.attached.listed(None).0, []);
    }
}

/// Streams of gateway `default`, where an API server knows all who come.
fn streams() -> Arc<Streams> {
    let api = tower::service_fn(async |_: Request<ApiBody>| {
        let user = json!({"username": "system:serviceaccount:llm-gateway:llm-gateway"});
        let status = json!({"authenticated": true, "audiences": [AUDIENCE], "user": user});
        let review = json!({"spec": {}, "metadata": {}, "status": status});
        Ok::<_, Infallible>(Response::new(ApiBody::from(review.to_string().into_bytes())))
    });
    let (_, targets) = watch::channel(None);
    Arc::new(Streams {
        admission: Admission::new(Client::new(api, "default"), gateways::alone("llm-gateway")),
        attached: Arc::new(Attached::new(Arc::default())),
        targets,
        lifetime: LIFETIME,
        metrics: Arc::default(),
    })
}

/// A proxy opens a stream, and says this.
async fn opened(streams: Arc<Streams>, words: Option<FromProxy>) -> Result<(), StatusCode> {
    let (says, heard) = mpsc::channel(1);
    if let Some(words) = words {
        says.send(format!("{}\n", json!(words)).into()).await.unwrap();
    }
    let request = Request::post(PATH).header(header::AUTHORIZATION, "Bearer token").body(said(heard));
    streams.open(request.unwrap()).await.map(drop).map_err(|(status, _)| status)
}

#[tokio::test(start_paused = true)]
async fn those_who_say_nothing_keep_nobody_waiting() {
    let streams = streams();
    let mut silent = JoinSet::new();
    for _ in 0..100 {
        silent.spawn(opened(streams.clone(), None));
    }
    // All of them have come.
    tokio::time::sleep(Duration::from_millis(1)).await;
    let hello = FromProxy::Hello {
        proxy: "a".to_owned(),
        gateway: Some("default".to_owned()),
        version: "0.1.0".to_owned(),
        holds: Digests::new(),
        open: Vec::new(),
    };
    let came = Instant::now();
    opened(streams, Some(hello)).await.unwrap();
    assert_eq!(came.elapsed(), Duration::ZERO);
    while let Some(ended) = silent.join_next().await {
        assert_eq!(ended.unwrap(), Err(StatusCode::REQUEST_TIMEOUT));
    }
    assert!(came.elapsed() <= HELLO_TIMEOUT, "and take no longer, however many they are");
}
