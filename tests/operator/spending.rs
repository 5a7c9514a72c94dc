//! Budgets while they are spent: what a person sees, who is told, and what is left of them when the ledger or the
//! operator goes. Spending is by leases, as proxies have them; the ledger is a Redis.

mod clients;
mod drawn;
mod edits;
mod rolling;
mod spender;

use crate::installation::{Installation, Operator, WITHIN};
use harness::{RawUpstream, Redis, Step, answer, eventually};
use kube::api::{Api, Patch, PatchParams, PostParams};
use llm_crds::{Budget, BudgetPhase, BudgetStatus, WebhookDelivery};
use serde_json::{Value, json};
use spender::{Spender, place};
use std::time::{Duration, Instant};

/// In nano-USD.
const CENT: u64 = 10_000_000;
/// What is spent is seen so soon.
const SEEN: Duration = Duration::from_secs(2);
/// What nobody has claimed of a ledger that began so long ago is spent.
const CLAIMED: Duration = Duration::from_secs(30);

struct Budgets {
    installation: Installation,
    redis: Redis,
    ledger: String,
}

impl Budgets {
    async fn start() -> Self {
        let installation = Installation::start().await;
        let redis = Redis::start().await;
        let settings = json!({"redis": {"endpoints": [redis.endpoint()]}}).to_string();
        let ledger = installation.scratch.write("ledger.yaml", settings).to_str().unwrap().to_owned();
        Self { installation, redis, ledger }
    }

    async fn operator(&self, name: &str) -> Operator {
        let port = harness::free_port();
        self.installation.operator_at(port, name, &["--ledger", &self.ledger]).await
    }

    fn api(&self) -> Api<Budget> {
        Api::namespaced(self.installation.client.clone(), "ai")
    }

    /// Creates one, and waits until it can be spent; gives its uid.
    async fn create(&self, name: &str, spec: Value) -> String {
        let budget = json!({
            "apiVersion": "llmgateway.dev/v1alpha1", "kind": "Budget",
            "metadata": {"name": name, "namespace": "ai"}, "spec": spec,
        });
        let budget: Budget = serde_json::from_value(budget).unwrap();
        let created = self.api().create(&PostParams::default(), &budget).await.unwrap();
        self.stands(name, WITHIN, "active", |status| status.phase == Some(BudgetPhase::Active)).await;
        created.metadata.uid.unwrap()
    }

    async fn edit(&self, name: &str, spec: Value) {
        let patch = Patch::Merge(json!({"spec": spec}));
        self.api().patch(name, &PatchParams::default(), &patch).await.unwrap();
    }

    async fn status(&self, name: &str) -> BudgetStatus {
        self.api().get(name).await.unwrap().status.unwrap_or_default()
    }

    async fn stands(
        &self,
        name: &str,
        within: Duration,
        what: &str,
        wanted: impl Fn(&BudgetStatus) -> bool,
    ) -> BudgetStatus {
        eventually(&format!("Budget {name} is {what}"), within, async || {
            let status = self.status(name).await;
            if wanted(&status) { Ok(status) } else { Err(format!("{status:#?}")) }
        })
        .await
    }

    /// Waits until the columns of `kubectl get budgets` are these: limit, spent, remaining, phase, resets.
    async fn shows(&self, name: &str, within: Duration, wanted: [&str; 5]) {
        eventually(&format!("kubectl get budgets shows {wanted:?}"), within, async || {
            let columns = "-o=custom-columns=:.status.summary.limit,:.status.summary.spent,:.status.summary.remaining,:.status.phase,:.status.summary.resets";
            let row = self.installation.cluster.kubectl(&["get", "budgets", name, "-n", "ai", columns]).await;
            let cells: Vec<&str> = row.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
            if cells == wanted { Ok(()) } else { Err(row) }
        })
        .await;
    }

    async fn events(&self) -> Vec<(String, String)> {
        let selector = "--field-selector=reason=ThresholdReached";
        let list =
            self.installation.cluster.kubectl(&["get", "events", "-n", "ai", selector, "-o", "json"]).await;
        let list: Value = serde_json::from_str(&list).unwrap();
        let of = |event: &Value| {
            let text = |field: &str| event[field].as_str().unwrap_or_default().to_owned();
            (text("type"), text("message"))
        };
        list["items"].as_array().unwrap().iter().map(of).collect()
    }
}

/// A limit in USD that never ends.
fn usd(amount: &str) -> Value {
    json!([{"window": "Total", "usd": amount}])
}

fn spent(status: &BudgetStatus) -> &str {
    status.limits.first().map_or("", |limit| &limit.spent)
}

#[tokio::test]
async fn a_budget_is_seen_to_be_spent_through_warning_and_exceeded() {
    let budgets = Budgets::start().await;
    let operator = budgets.operator("operator").await;
    let limits = json!([{"window": "Total", "usd": "1"}, {"window": "Monthly", "tokens": 1_000_000}]);
    let uid = budgets.create("team", json!({"limits": limits})).await;
    let header = budgets.installation.cluster.kubectl(&["get", "budgets", "-n", "ai"]).await;
    let names: Vec<&str> = header.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(names, ["NAME", "LIMIT", "SPENT", "RESERVED", "REMAINING", "PHASE", "RESETS", "AGE"]);

    let spender = Spender::start(&budgets.redis, place(&uid, "total-usd", None));
    let mut took = Vec::new();
    let steps =
        [(40, "0.40", "Active"), (10, "0.50", "Warning"), (25, "0.75", "Warning"), (5, "0.80", "Warning")];
    for (cents, total, phase) in steps {
        // What was written last is older than the pause between two writes.
        budgets.installation.renewals(3).await;
        spender.spend(cents * CENT).await;
        let begun = Instant::now();
        let status = budgets.stands("team", WITHIN, total, |status| spent(status) == total).await;
        took.push(begun.elapsed());
        assert_eq!(format!("{:?}", status.phase.unwrap()), phase);
    }
    took.sort();
    assert!(took[took.len() / 2] < SEEN, "{took:?}");
    spender.spend(20 * CENT).await;
    budgets.shows("team", WITHIN, ["$1.00 in all", "$1.0000", "$0.0000", "Exceeded", "never"]).await;
    spender.is_refused(CENT).await;

    let mut events = budgets.events().await;
    events.sort();
    assert_eq!(events.len(), 4, "{events:#?}");
    let warnings: Vec<_> =
        events.iter().filter(|(kind, _)| kind == "Warning").map(|(_, note)| note).collect();
    assert!(warnings[0].starts_with("limit total-usd has reached 0.9 of 1.00 USD: "), "{warnings:?}");
    assert!(warnings[1].ends_with("1.00 USD are spent; it never begins anew"), "{warnings:?}");
    let sample = |name: &str| format!("llm_operator_budget_{name}{{budget=\"ai/team\",limit=\"total-usd\"}}");
    for (name, amount) in
        [("limit", 1.0), ("spent", 1.0), ("reserved", 0.0), ("remaining", 0.0), ("exceeded", 1.0)]
    {
        assert_eq!(operator.metric(&sample(name)).await, amount, "{name}");
    }

    // Nothing more happens, and nothing more is written.
    let writes = operator.metric("llm_operator_status_writes_total").await;
    budgets.installation.renewals(6).await;
    assert_eq!(operator.metric("llm_operator_status_writes_total").await, writes);
}

/// Whoever is killed in the middle, and whatever the receiver answers.
#[tokio::test]
async fn each_threshold_is_one_event_and_one_signed_call_of_the_webhook() {
    let budgets = Budgets::start().await;
    let refusals = || vec![Step::Send(answer(503, &json!({})))];
    let taken = vec![Step::Send(answer(204, &json!({})))];
    let receiver = RawUpstream::start([refusals(), refusals(), vec![Step::Hold], taken]).await;
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "hook", "namespace": "ai"},
        "stringData": {"url": format!("{}/alerts?token=t", receiver.url()), "key": "a shared secret"},
    });
    budgets.installation.cluster.apply(&secret.to_string()).await;
    let operator = budgets.operator("first").await;
    let reference = |key: &str| json!({"name": "hook", "key": key});
    let webhook = json!({"urlSecretRef": reference("url"), "signingSecretRef": reference("key")});
    let alerts = json!({"thresholds": ["0.5"], "webhook": webhook});
    let uid = budgets.create("team", json!({"limits": usd("1"), "alerts": alerts})).await;
    let spender = Spender::start(&budgets.redis, place(&uid, "total-usd", None));
    spender.spend(60 * CENT).await;
    let pending = |status: &BudgetStatus| {
        status.alerts.iter().any(|alert| {
            let message = alert.message.as_deref().unwrap_or_default();
            alert.webhook == Some(WebhookDelivery::Pending) && message.contains("503")
        })
    };
    budgets.stands("team", WITHIN, "told of in vain", pending).await;
    // It is killed while the receiver has the third call in its hands.
    receiver.await_requests(3, WITHIN).await;
    operator.process.kill();

    let second = budgets.operator("second").await;
    let delivered = |status: &BudgetStatus| {
        status.alerts.iter().all(|alert| alert.webhook == Some(WebhookDelivery::Delivered))
    };
    let status = budgets.stands("team", WITHIN, "told of", delivered).await;
    assert_eq!((status.alerts.len(), status.alerts[0].message.as_ref()), (1, None));
    let calls = receiver.requests();
    assert_eq!(calls.len(), 4, "{calls:#?}");
    let keys: Vec<_> = calls.iter().map(|call| header(call, "idempotency-key").to_owned()).collect();
    assert!(keys.iter().all(|key| *key == format!("{uid}:total-usd:0:0.5:1.00")), "{keys:?}");
    let last = &calls[3];
    assert!(last.starts_with("POST /alerts?token=t HTTP/1.1"), "{last}");
    let body = signed(last, "a shared secret");
    let told = [&body["budget"]["name"], &body["threshold"], &body["unit"], &body["amount"], &body["spent"]];
    assert_eq!(told.map(|text| text.as_str().unwrap()), ["team", "0.5", "USD", "1.00", "0.60"]);
    let events = budgets.events().await;
    assert_eq!(events.len(), 1, "{events:#?}");
    assert_eq!(events[0].0, "Normal");
    assert_eq!(second.metric("llm_operator_budget_webhooks_delivered_total").await, 1.0);
}

/// What was spent stays so, and not a cent more than the limit is granted.
#[tokio::test]
async fn a_ledger_that_comes_back_empty_begins_where_it_was() {
    let mut budgets = Budgets::start().await;
    let _operator = budgets.operator("operator").await;
    let uid = budgets.create("team", json!({"limits": usd("1000")})).await;
    let alive = Spender::start(&budgets.redis, place(&uid, "total-usd", None));
    let dead = Spender::start(&budgets.redis, place(&uid, "total-usd", None));
    alive.spend(20 * CENT).await;
    dead.spend(30 * CENT).await;
    // Until neither holds a slice, which it would give back later.
    let half = |status: &BudgetStatus| spent(status) == "0.50" && status.limits[0].reserved == "0.00";
    let before = budgets.stands("team", WITHIN, "half spent", half).await;
    drop(dead);

    budgets.redis.die().await;
    let away = budgets
        .stands("team", WITHIN, "degraded", |status| status.phase == Some(BudgetPhase::Degraded))
        .await;
    assert_eq!(away.limits, before.limits, "nothing is lost");
    let condition = away.conditions.iter().find(|one| one.type_ == "LedgerReachable").unwrap();
    assert_eq!((condition.status.as_str(), condition.reason.as_str()), ("False", "LedgerUnreachable"));
    assert!(condition.message.contains(&budgets.redis.endpoint()), "{}", condition.message);

    budgets.redis.revive().await;
    // Who has something to say claims what it had.
    alive.spend(CENT).await;
    let back = |status: &BudgetStatus| status.phase != Some(BudgetPhase::Degraded) && spent(status) == "0.21";
    let after = budgets.stands("team", WITHIN, "begun anew", back).await;
    let (old, new) = (&before.checkpoints[0], &after.checkpoints[0]);
    assert!(
        new.epoch > old.epoch && new.revision > old.revision && new.ceiling >= old.ceiling,
        "{old:?} {new:?}"
    );
    // All that was stored as what may be gone is so, what the dead one had spent with it, and the rest is there to spend.
    let gone = u64::try_from(away.checkpoints[0].ceiling).unwrap();
    assert!((50 * CENT..90_000 * CENT).contains(&gone), "{gone}");
    let other = Spender::start(&budgets.redis, place(&uid, "total-usd", None));
    other.spend(100_000 * CENT - gone - CENT).await;
    assert!(!eventually_spends(&other).await, "what nobody claims was granted");
    alive.try_spend(CENT).unwrap_err();

    // Nobody will give it back: it is no reserve.
    let is_over = |status: &BudgetStatus| {
        let limit = &status.limits[0];
        status.phase == Some(BudgetPhase::Exceeded)
            && (&*limit.spent, &*limit.reserved) == ("1000.00", "0.00")
    };
    budgets.stands("team", CLAIMED + WITHIN, "spent", is_over).await;
    other.is_refused(CENT).await;
}

/// Whether one more cent is granted, or nothing more is free but for what nobody claims.
async fn eventually_spends(spender: &Spender) -> bool {
    let begun = Instant::now();
    eventually("granted or not", WITHIN, async || match spender.try_spend(CENT) {
        Ok(()) => Ok(true),
        Err(_) if begun.elapsed() > Duration::from_secs(3) => Ok(false),
        Err(why) => Err(why),
    })
    .await
}

#[tokio::test]
async fn a_ledger_that_hangs_is_told_of_and_so_is_that_it_answers_again() {
    let budgets = Budgets::start().await;
    let operator = budgets.operator("operator").await;
    let uid = budgets.create("team", json!({"limits": usd("1")})).await;
    let spender = Spender::start(&budgets.redis, place(&uid, "total-usd", None));
    spender.spend(20 * CENT).await;
    budgets.stands("team", WITHIN, "spent", |status| spent(status) == "0.20").await;
    budgets.redis.pause();
    let is = |phase| move |status: &BudgetStatus| status.phase == Some(phase);
    budgets.stands("team", WITHIN, "degraded", is(BudgetPhase::Degraded)).await;
    assert_eq!(operator.metric("llm_operator_ledger_unreachable").await, 1.0);
    assert!(operator.metric("llm_operator_ledger_errors_total").await > 0.0);
    budgets.redis.resume();
    let status = budgets.stands("team", WITHIN, "active", is(BudgetPhase::Active)).await;
    assert_eq!(spent(&status), "0.20");
    assert_eq!(operator.metric("llm_operator_ledger_unreachable").await, 0.0);
    spender.spend(30 * CENT).await;
}

#[tokio::test]
async fn another_operator_takes_over_where_the_first_one_was_killed() {
    let budgets = Budgets::start().await;
    let first = budgets.operator("first").await;
    let second = budgets.operator("second").await;
    let uid = budgets.create("team", json!({"limits": usd("1")})).await;
    let spender = Spender::start(&budgets.redis, place(&uid, "total-usd", None));
    for _ in 0..5 {
        spender.spend(6 * CENT).await;
    }
    budgets.stands("team", WITHIN, "spent", |status| spent(status) == "0.30").await;
    first.process.kill();
    // It is away, and there is room below the ceiling.
    spender.spend(5 * CENT).await;
    let status = budgets.stands("team", WITHIN, "spent", |status| spent(status) == "0.35").await;
    assert_eq!(second.metric("llm_operator_leader").await, 1.0);
    spender.spend(65 * CENT).await;
    let after = budgets.stands("team", WITHIN, "spent", |status| spent(status) == "1.00").await;
    assert_eq!(after.checkpoints[0].epoch, status.checkpoints[0].epoch);
    assert_eq!(budgets.events().await.len(), 4);
}

#[tokio::test]
async fn of_values_the_one_that_has_spent_most_is_shown_and_what_each_may_have_spent_outlives_the_ledger() {
    let mut budgets = Budgets::start().await;
    let _operator = budgets.operator("operator").await;
    let uid = budgets.create("each", json!({"limits": usd("1"), "per": ["User"]})).await;
    let of = |redis: &Redis, value| Spender::start(redis, place(&uid, "total-usd", Some(value)));
    let ann = of(&budgets.redis, "ann");
    ann.spend(70 * CENT).await;
    let bob = of(&budgets.redis, "bob");
    bob.spend(3 * CENT).await;
    let shown = |status: &BudgetStatus| {
        let top = status.limits.first().map_or(&[][..], |limit| &limit.top_values);
        let top: Vec<_> = top.iter().map(|one| (one.value.as_str(), one.spent.as_str())).collect();
        top == [("ann", "0.70"), ("bob", "0.03")]
    };
    let status = budgets.stands("each", WITHIN, "spent by two", shown).await;
    assert_eq!((spent(&status), status.limits[0].values), ("0.70", Some(2)));
    assert_eq!(status.phase, Some(BudgetPhase::Warning));
    let listed = |status: &BudgetStatus| {
        let values = status.checkpoints.first().map_or(&[][..], |checkpoint| &checkpoint.values);
        values.iter().map(|one| one.value.clone()).collect::<Vec<_>>() == ["ann"]
    };
    budgets.stands("each", WITHIN, "listed", listed).await;

    // Of hers at most 30 cents can be left, though nobody tells what she has spent.
    drop((ann, bob));
    budgets.redis.die().await;
    budgets.redis.revive().await;
    let epoch = |status: &BudgetStatus| status.checkpoints[0].epoch;
    budgets.stands("each", WITHIN, "begun anew", |now| epoch(now) > epoch(&status)).await;
    let bob = of(&budgets.redis, "bob");
    bob.spend(50 * CENT).await;
    let ann = of(&budgets.redis, "ann");
    let mut cents = 0;
    while cents < 40 && eventually_spends(&ann).await {
        cents += 1;
    }
    assert!(cents <= 30, "{cents}");
}

/// The body of a webhook's call, whose signature must be right.
fn signed(call: &str, secret: &str) -> Value {
    let (_, body) = call.split_once("\r\n\r\n").unwrap();
    let (time, signature) =
        header(call, "llm-signature").strip_prefix("t=").unwrap().split_once(",v1=").unwrap();
    assert_eq!(signature, hmac(secret, &format!("{time}.{body}")));
    serde_json::from_str(body).unwrap()
}

fn header<'a>(request: &'a str, name: &str) -> &'a str {
    let line = request.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    line.unwrap_or_else(|| panic!("no {name} in {request}"))
}

fn hmac(secret: &str, text: &str) -> String {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
    ring::hmac::sign(&key, text.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
