//! A budget as people meet it: clients call through proxies that an operator keeps, until they are refused, while
//! somebody watches `kubectl get budgets`.

use super::{Budgets, SEEN, signed};
use crate::installation::{WITHIN, asking, completion, pool, route};
use harness::{Process, Proxy, RawUpstream, Step, answer, http, tool};
use llm_crds::WebhookDelivery;
use serde_json::{Value, json};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Each client calls at one proxy, then at the other.
const CLIENTS: usize = 8;
/// Between two calls of a client that is told to come back.
const PAUSE: Duration = Duration::from_millis(20);

/// A model of which each call costs a cent: it answers with one token.
fn a_cent_a_call(upstream: &RawUpstream) -> Value {
    let mut pool = pool("pool", upstream.url(), &["m"]);
    let pricing = json!({"inputPerMillion": "0", "outputPerMillion": "10000"});
    pool["spec"]["providers"][0]["models"][0]["pricing"] = pricing;
    pool
}

fn call() -> Value {
    let mut call = asking("m");
    call["max_tokens"] = json!(1);
    call
}

/// What became of calls.
struct Spent {
    /// When the first and the last of them were answered.
    first: Instant,
    last: Instant,
    refused: Option<http::Answer>,
}

/// Calls until so many are answered in all, or, where `most` is none, until each client reads that nothing is left.
async fn spend(proxies: &[&Proxy], answered: &Arc<AtomicUsize>, most: Option<usize>) -> Spent {
    // The first client has its answers before the last has begun.
    let so_far = answered.load(Relaxed);
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let urls: Vec<String> = proxies.iter().map(|proxy| proxy.chat_url()).collect();
            let answered = answered.clone();
            // Of so many each takes its part.
            let part = most.map(|most| (most - so_far + client) / CLIENTS);
            tokio::spawn(async move {
                let mut times = Vec::new();
                for url in urls.iter().cycle() {
                    if part == Some(times.len()) {
                        break;
                    }
                    let answer = http::post_json(url, &call()).await;
                    match (answer.status.as_u16(), answer.json()["error"]["code"].as_str()) {
                        (200, _) => {
                            times.push(Instant::now());
                            answered.fetch_add(1, Relaxed);
                        }
                        (429, Some("budget_exceeded")) => return (times, Some(answer)),
                        (429, Some("budget_held")) => tokio::time::sleep(PAUSE).await,
                        _ => panic!("{answer:?}"),
                    }
                }
                (times, None)
            })
        })
        .collect();
    let (mut times, mut refused) = (Vec::new(), None);
    for client in clients {
        let (own, told) = client.await.unwrap();
        times.extend(own);
        refused = told.or(refused);
    }
    let [first, last] = [times.iter().min(), times.iter().max()].map(|time| *time.unwrap());
    Spent { first, last, refused }
}

/// `kubectl get budgets -w`.
fn watch(budgets: &Budgets) -> Process {
    let mut kubectl = Command::new(tool("bin/kubectl"));
    kubectl.args(["get", "budgets", "-n", "ai", "-w"]);
    Process::start(kubectl.env("KUBECONFIG", budgets.installation.cluster.admin_kubeconfig()))
}

fn cells(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_spend_a_budget_through_warning_and_exceeded_until_they_are_refused() {
    let budgets = Budgets::start().await;
    let installation = &budgets.installation;
    let upstream = RawUpstream::start([vec![Step::Send(answer(200, &completion("ok")))]]).await;
    let receiver = RawUpstream::start([vec![Step::Send(answer(204, &json!({})))]]).await;
    let hook = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "hook", "namespace": "ai"},
        "stringData": {"url": format!("{}/alerts", receiver.url()), "key": "a shared secret"},
    });
    installation.cluster.apply(&hook.to_string()).await;
    let _operator = installation.operator(&["--ledger", &budgets.ledger]).await;
    let (a, b) = (installation.proxy("proxy-a", &[]).await, installation.proxy("proxy-b", &[]).await);
    let proxies = [&a, &b];
    installation.ready(&proxies).await;
    installation.create_pool(&a_cent_a_call(&upstream)).await;
    installation.create_route(&route("chat", "pool")).await;
    let reference = |key: &str| json!({"name": "hook", "key": key});
    let webhook = json!({"urlSecretRef": reference("url"), "signingSecretRef": reference("key")});
    let alerts = json!({"thresholds": ["0.5", "0.9", "1.0"], "webhook": webhook});
    let limits = json!([{"window": "Monthly", "usd": "1"}]);
    let uid = budgets.create("team", json!({"limits": limits, "alerts": alerts})).await;
    installation.budget_condition("team", "Programmed", "True", "Programmed").await;
    installation.route_condition("chat", "Programmed", "True", "Programmed").await;

    let watched = watch(&budgets);
    let answered = Arc::<AtomicUsize>::default();
    let (mut moved, mut whole, mut before) = (Vec::new(), Vec::new(), "$0.0000".to_owned());
    let steps = [
        (Some(20), "$0.2000", "Active"),
        (Some(40), "$0.4000", "Active"),
        (Some(50), "$0.5000", "Warning"),
        (Some(75), "$0.7500", "Warning"),
        (Some(90), "$0.9000", "Warning"),
        (None, "$1.0000", "Exceeded"),
    ];
    let mut refused = None;
    for (calls, amount, phase) in steps {
        let moves = async {
            let is_more = |line: &str| cells(line).get(2).is_some_and(|spent| **spent > *before);
            watched.await_line(WITHIN, |line| line.starts_with("team") && is_more(line)).await;
            Instant::now()
        };
        let (spent, moves) = tokio::join!(spend(&proxies, &answered, calls), moves);
        moved.push(moves - spent.first);
        assert_eq!(spent.refused.is_none(), calls.is_some(), "{:?}", spent.refused);
        refused = spent.refused;
        let line = watched.await_line(WITHIN, |line| cells(line).get(2) == Some(&amount)).await;
        whole.push(spent.last.elapsed());
        let row = cells(&line);
        assert_eq!((row[0], row[1], row[5]), ("team", "$1.00/month", phase), "{line}");
        amount.clone_into(&mut before);
    }
    println!("from the first reply to a column that moves: {moved:?}");
    println!("from the last reply to the column that has it: {whole:?}");
    moved.sort();
    assert!(moved[moved.len() / 2] < SEEN, "{moved:?}");
    // The last cent is spent, whichever proxy held it, and not one more.
    assert_eq!((answered.load(Relaxed), upstream.requests().len()), (100, 100));
    is_refused(&refused.unwrap());

    let over = ["$1.0000", "$0.0000", "$0.0000", "Exceeded"];
    let line = watched.await_line(WITHIN, |line| cells(line).get(2..6) == Some(&over)).await;
    let resets = cells(&line)[6].to_owned();
    assert!(resets.ends_with("-01T00:00:00Z"), "{resets}");
    moves_forward(&watched.stdout());
    each_threshold_once(&budgets, &receiver, &uid).await;
}

/// As the SDKs of OpenAI's dialect expect it.
fn is_refused(refused: &http::Answer) {
    assert_eq!(refused.status.as_u16(), 429);
    let error = &refused.json()["error"];
    assert_eq!((&error["type"], &error["code"]), (&json!("insufficient_quota"), &json!("budget_exceeded")));
    let message = error["message"].as_str().unwrap();
    let figures = "Budget ai/team has too little left: 1.00 USD of 1.00 USD (monthly) are spent";
    assert!(message.starts_with(figures) && message.contains("It begins anew in "), "{message}");
    assert_eq!(refused.header("x-should-retry"), Some("false"));
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=31 * 86_400).contains(&seconds), "{seconds}");
}

/// What is spent never falls, and phases follow each other.
fn moves_forward(watched: &str) {
    let rows: Vec<_> = watched.lines().skip(1).map(cells).filter(|row| row[5] != "Degraded").collect();
    let spent: Vec<&str> = rows.iter().map(|row| row[2]).collect();
    assert!(spent.is_sorted(), "{watched}");
    let mut phases: Vec<&str> = rows.iter().map(|row| row[5]).collect();
    phases.dedup();
    assert_eq!(phases, ["Active", "Warning", "Exceeded"], "{watched}");
}

async fn each_threshold_once(budgets: &Budgets, receiver: &RawUpstream, uid: &str) {
    let delivered = |status: &llm_crds::BudgetStatus| {
        let mut alerts = status.alerts.iter();
        status.alerts.len() == 3 && alerts.all(|alert| alert.webhook == Some(WebhookDelivery::Delivered))
    };
    let status = budgets.stands("team", WITHIN, "told of", delivered).await;
    // Nobody is told again.
    budgets.installation.renewals(4).await;
    let mut events = budgets.events().await;
    events.sort();
    let reached = |note: &str| note.split(" of ").next().unwrap_or_default().to_owned();
    let events: Vec<_> = events.iter().map(|(kind, note)| (kind.as_str(), reached(note))).collect();
    let of = |threshold: &str| format!("limit monthly-usd has reached {threshold}");
    assert_eq!(events, [("Normal", of("0.5")), ("Warning", of("0.9")), ("Warning", of("1.0"))]);

    let calls = receiver.requests();
    let mut told: Vec<_> = calls.iter().map(|call| signed(call, "a shared secret")).collect();
    told.sort_by_key(|body| body["threshold"].to_string());
    let start = status.limits[0].start.0.as_second();
    let ids: Vec<_> = told.iter().map(|body| body["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["0.5", "0.9", "1.0"].map(|at| format!("{uid}:monthly-usd:{start}:{at}:1.00")));
    assert!(told.iter().all(|body| body["budget"]["name"] == "team"), "{told:?}");
}
