//! One more attempt of a call, by a clock of the test's own and a ledger that the test answers for.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::time::Duration;

use futures::FutureExt as _;
use llm_config::{
    Document,
    budget::{Budget as Spec, Limit, OnExceeded, OnLedgerUnavailable, Unit as SpecUnit, Window},
};
use llm_ledger::account::{Answer, Left};
use serde_json::json;
use tokio::time::advance;

use super::*;
use crate::{
    budget::{Purses, line},
    snapshot::{Snapshot, budgets::Budgets},
    stage::reserve::patience::RETURNS,
    upstream::{client::Clients, health::Healths},
};

/// Tokens that an attempt takes, and those of a limit.
const EACH: u64 = 10;
const LIMIT: u64 = 100;

struct Scene {
    _purses: Arc<Purses>,
    budgets: Box<[Arc<Budget>]>,
    target: Arc<Target>,
}

impl Scene {
    /// Budgets of tokens in any four minutes, changed by `change`.
    async fn new(count: usize, change: impl Fn(&mut Spec)) -> Self {
        // The process's time begins with who asks for it first, by the clock of that test: all of this is long after it.
        let _begun = line::now();
        advance(Duration::from_secs(24 * 3_600)).await;
        let purses = Arc::new(Purses::default());
        let budgets = (0..count).map(|i| {
            let limit = Limit { window: Window::Rolling(240), unit: SpecUnit::Tokens, amount: LIMIT };
            let mut spec = Spec {
                uid: i.to_string(),
                time_zone: "UTC".to_owned(),
                limits: vec![limit],
                ..Spec::default()
            };
            change(&mut spec);
            (format!("ai/{i}"), spec)
        });
        let document = Document { budgets: budgets.collect(), ..Document::default() };
        let budgets = Budgets::new(&document, &purses).unwrap().of_route("ai/chat");
        Self { _purses: purses, budgets, target: target() }
    }

    fn line(&self, place: usize) -> Arc<Line> {
        self.budgets[place].limits[0].line(None, unix_now())
    }

    /// The ledger grants so much of a budget's limit, of which so much is spent.
    fn says(&self, place: usize, amount: u64, spent: u64) {
        let line = self.line(place);
        let Some(statement) = line.lease().due(line::now()) else { return };
        let left = Left { limit: LIMIT, free: 0, spent, short: None };
        line.answered(&Answer::Granted { seq: statement.seq, amount, recall: false, left });
    }

    /// Each budget has so much at hand.
    fn has(&self, amounts: &[u64]) {
        for (place, amount) in amounts.iter().enumerate() {
            self.line(place).lease().wait_for(*amount);
            self.says(place, *amount, 0);
            self.line(place).lease().wait_no_more();
        }
    }

    /// A call whose first attempt was lost.
    fn lost(&self) -> Box<Reserved> {
        let held = self.budgets.iter().enumerate().map(|(place, budget)| {
            let line = self.line(place);
            let reservation = line.reserve(EACH);
            Held::new(budget, 0, line, EACH, reservation)
        });
        let mut reserved = Reserved::new(held.collect(), None);
        assert!(reserved.covers_another(&self.target), "the first is covered");
        reserved.asks(&self.target);
        reserved.loses(&self.target);
        reserved
    }

    /// One more attempt of a call is refused, since others hold what is left of that budget, however often the ledger is asked.
    async fn waits_in_vain(&self, place: usize, reserved: &mut Reserved, until: Instant) {
        let keeper = async {
            loop {
                // That what is idle goes back is no matter of this.
                self.says(place, 0, 0);
                tokio::time::sleep(Duration::from_millis(25)).await;
            }
        };
        let refused = tokio::select! {
            got = reserved.another(&self.target, until) => got.unwrap_err(),
            () = keeper => unreachable!("it looks for ever"),
        };
        assert!(refused.is_of_held());
    }

    fn left(&self, place: usize) -> (u64, u64) {
        let line = self.line(place);
        (line.purse().available(), line.purse().spent())
    }
}

fn target() -> Arc<Target> {
    let price = json!({"input": 0, "cachedInput": 0, "cacheWrite": 0, "output": 0});
    let provider = json!({
        "name": "a", "priority": 0, "weight": 1,
        "upstream": {"kind": "OpenAI", "endpoint": "http://127.0.0.1:1/v1"},
        "models": [{"name": "m", "upstreamName": "m", "price": price}],
    });
    let backend = json!({"pool": "ai/pool", "models": ["m"], "weight": 1});
    let rule =
        json!({"models": ["m"], "backends": [backend], "timeouts": {"requestMs": 1000, "idleMs": 1000}});
    let document = json!({
        "routes": {"ai/chat": {"rules": [rule]}},
        "pools": {"ai/pool": {"providers": [provider]}},
    });
    let document = serde_json::from_value(document).unwrap();
    let snapshot =
        Snapshot::build(document, &Arc::default(), &Clients::new(1), &Healths::default(), &Arc::default())
            .unwrap();
    snapshot.router.served().next().unwrap().candidates[0].target.clone()
}

fn later(millis: u64) -> Instant {
    Instant::now() + Duration::from_millis(millis)
}

#[tokio::test(start_paused = true)]
async fn an_attempt_after_one_that_nobody_bills_needs_nothing() {
    let scene = Scene::new(1, |_| ()).await;
    scene.has(&[EACH]);
    let reservation = scene.line(0).reserve(EACH);
    let budget = &scene.budgets[0];
    let held = Held::new(budget, 0, scene.line(0), EACH, reservation);
    let mut reserved = Reserved::new([held].into_iter().collect(), None);
    for _ in 0..3 {
        reserved.asks(&scene.target);
        reserved.costs_nothing(&scene.target);
        assert!(reserved.covers_another(&scene.target));
    }
    reserved.settle(None, Outcome::Nothing);
    assert_eq!(scene.left(0), (EACH, 0));
}

#[tokio::test(start_paused = true)]
async fn a_further_attempt_gets_money_of_each_limit_or_of_none() {
    let scene = Scene::new(2, |_| ()).await;
    scene.has(&[2 * EACH, EACH]);
    let mut reserved = scene.lost();
    assert!(!reserved.covers_another(&scene.target));
    assert!(!reserved.another_at_hand(&scene.target));
    assert_eq!(scene.left(0), (EACH, 0), "and nothing is kept of the first");
    scene.waits_in_vain(1, &mut reserved, later(500)).await;
    assert_eq!(scene.left(0), (EACH, 0));
    // The ledger is asked, and has it.
    {
        let mut another = std::pin::pin!(reserved.another(&scene.target, later(500)));
        assert!(futures::poll!(&mut another).is_pending());
        advance(Duration::from_millis(25)).await;
        scene.says(1, EACH, 0);
        another.now_or_never().unwrap().unwrap();
    }
    assert!(reserved.covers_another(&scene.target));
    assert_eq!((scene.left(0), scene.left(1)), ((0, 0), (0, 0)));
    reserved.asks(&scene.target);
    assert!(!reserved.covers_another(&scene.target));
    let usage = Usage { output: 3, ..Usage::default() };
    reserved.settle(Some(&scene.target), Outcome::Reported(usage));
    assert_eq!((scene.left(0), scene.left(1)), ((7, 13), (7, 13)));
}

#[tokio::test(start_paused = true)]
async fn no_call_waits_for_what_its_own_lost_attempts_have() {
    let scene = Scene::new(1, |_| ()).await;
    scene.has(&[EACH]);
    let mut reserved = scene.lost();
    // Nine are left: ten would be, but for its own.
    scene.line(0).lease().wait_for(1);
    advance(Duration::from_millis(25)).await;
    scene.says(0, 0, LIMIT - 2 * EACH + 1);
    let refused = reserved.another(&scene.target, later(500)).now_or_never().unwrap().unwrap_err();
    assert!(!refused.is_of_held());
    let why = "It was not tried again: budget ai/0 had too little left for another attempt.";
    assert_eq!(refused.of_another().to_string(), why);
}

/// How many milliseconds one more attempt waits, until it is refused for the ledger's silence or passes for it. Of the
/// first limit the ledger says after ten that others hold it, where `says`, and nothing more.
async fn unheard(scene: &Scene, reserved: &mut Reserved, says: bool) -> (u128, bool) {
    let begun = Instant::now();
    let keeper = async {
        for tick in 0.. {
            if says && tick == 10 {
                scene.says(0, 0, 0);
            }
            let heard = usize::from(says && tick <= 10);
            for place in heard..scene.budgets.len() {
                let _unheard = scene.line(place).lease().due(line::now());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let got = tokio::select! {
        got = reserved.another(&scene.target, later(60_000)) => got,
        () = keeper => unreachable!("it looks for ever"),
    };
    let waited = begun.elapsed().as_millis();
    let passes = got.is_ok();
    assert!(got.err().is_none_or(|refusal| refusal.of_another().is_unanswered));
    (waited, passes)
}

#[tokio::test(start_paused = true)]
async fn the_candidates_of_one_attempt_wait_once_for_a_ledger_that_does_not_answer() {
    let scene = Scene::new(2, |_| ()).await;
    scene.has(&[EACH, EACH]);
    let mut reserved = scene.lost();
    let (first, passes) = unheard(&scene, &mut reserved, false).await;
    assert!((50..=51).contains(&first) && !passes, "{first}");
    for _ in 0..3 {
        assert_eq!(unheard(&scene, &mut reserved, false).await, (0, false));
    }
}

#[tokio::test(start_paused = true)]
async fn limits_that_pass_without_wait_once_for_a_ledger_that_answers_no_more() {
    let allows = |spec: &mut Spec| spec.on_ledger_unavailable = OnLedgerUnavailable::Allow;
    let scene = Scene::new(3, allows).await;
    scene.has(&[EACH, EACH, EACH]);
    let mut reserved = scene.lost();
    let (waited, passes) = unheard(&scene, &mut reserved, true).await;
    // It is asked again 25 ms after it has answered.
    assert!(passes && (85..=88).contains(&waited), "{waited}");
}

#[tokio::test(start_paused = true)]
async fn the_candidates_of_one_attempt_wait_once() {
    let scene = Scene::new(1, |_| ()).await;
    scene.has(&[EACH]);
    let mut reserved = scene.lost();
    let mut waits = Vec::new();
    for _ in 0..2 {
        let begun = Instant::now();
        scene.waits_in_vain(0, &mut reserved, later(60_000)).await;
        waits.push(begun.elapsed());
    }
    assert_eq!(waits[0], RETURNS);
    assert!(waits[1] < RETURNS / 10, "{waits:?}");
}

#[tokio::test(start_paused = true)]
async fn a_budget_that_warns_or_audits_lets_a_further_attempt_pass_and_counts_it() {
    let warns = |spec: &mut Spec| spec.on_exceeded = OnExceeded::Warn;
    let audits = |spec: &mut Spec| spec.enforcement = Enforcement::Audit;
    for change in [&warns as &dyn Fn(&mut Spec), &audits] {
        let scene = Scene::new(1, change).await;
        scene.has(&[EACH]);
        let mut reserved = scene.lost();
        reserved.another(&scene.target, later(500)).now_or_never().unwrap().unwrap();
        assert!(reserved.covers_another(&scene.target));
        reserved.asks(&scene.target);
        assert!(!reserved.covers_another(&scene.target), "each passes for itself");
        let usage = Usage { output: 3, ..Usage::default() };
        reserved.settle(Some(&scene.target), Outcome::Reported(usage));
        assert_eq!(scene.left(0), (0, EACH + 3));
    }
}

#[tokio::test(start_paused = true)]
async fn a_ledger_that_does_not_answer_is_given_its_time_and_no_more() {
    for (rule, passes) in [(OnLedgerUnavailable::Deny, false), (OnLedgerUnavailable::Allow, true)] {
        let scene = Scene::new(1, |spec| spec.on_ledger_unavailable = rule).await;
        scene.has(&[EACH]);
        let mut reserved = scene.lost();
        // The keeper has said it, and hears nothing.
        scene.line(0).lease().wait_for(EACH);
        let _unheard = scene.line(0).lease().due(line::now()).unwrap();
        advance(Duration::from_millis(25)).await;
        let begun = Instant::now();
        let got = reserved.another(&scene.target, later(5_000)).await;
        let waited = begun.elapsed().as_millis();
        assert!((50..=51).contains(&waited), "{waited}");
        match got {
            Ok(()) => assert!(passes),
            Err(refusal) => {
                assert!(!passes);
                let unpaid = refusal.of_another();
                assert!(unpaid.is_unanswered, "{unpaid}");
            }
        }
        assert_eq!(reserved.covers_another(&scene.target), passes);
    }
}

#[tokio::test(start_paused = true)]
async fn what_others_hold_is_not_waited_for_while_the_ledger_is_silent() {
    for (rule, passes) in [(OnLedgerUnavailable::Deny, false), (OnLedgerUnavailable::Allow, true)] {
        let scene = Scene::new(1, |spec| spec.on_ledger_unavailable = rule).await;
        scene.has(&[EACH]);
        let mut reserved = scene.lost();
        let mut another = std::pin::pin!(reserved.another(&scene.target, later(5_000)));
        assert!(futures::poll!(&mut another).is_pending());
        advance(Duration::from_millis(25)).await;
        scene.says(0, 0, 0);
        assert!(futures::poll!(&mut another).is_pending(), "others hold it");
        let said = Instant::now();
        let got = loop {
            // The keeper says it, and hears nothing.
            advance(Duration::from_millis(25)).await;
            let _unheard = scene.line(0).lease().due(line::now());
            if let std::task::Poll::Ready(got) = futures::poll!(&mut another) {
                break got;
            }
            assert!(said.elapsed() < Duration::from_secs(2));
        };
        assert!(said.elapsed() <= Duration::from_millis(76), "{:?}", said.elapsed());
        assert_eq!(got.is_ok(), passes);
        assert!(got.err().is_none_or(|refusal| refusal.of_another().is_unanswered));
    }
}

#[tokio::test(start_paused = true)]
async fn what_calls_of_this_process_leave_is_waited_for_though_the_ledger_is_silent() {
    let scene = Scene::new(1, |_| ()).await;
    scene.has(&[2 * EACH]);
    let mut reserved = scene.lost();
    let other = scene.line(0).reserve(EACH).unwrap();
    let mut another = std::pin::pin!(reserved.another(&scene.target, later(5_000)));
    assert!(futures::poll!(&mut another).is_pending());
    advance(Duration::from_millis(25)).await;
    scene.says(0, 0, 0);
    assert!(futures::poll!(&mut another).is_pending());
    for _ in 0..8 {
        advance(Duration::from_millis(25)).await;
        let _unheard = scene.line(0).lease().due(line::now());
        assert!(futures::poll!(&mut another).is_pending());
    }
    other.settle(0);
    scene.line(0).freed();
    another.now_or_never().unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_was_taken_for_an_attempt_that_is_not_sent_goes_back() {
    let scene = Scene::new(1, |_| ()).await;
    scene.has(&[2 * EACH]);
    let mut reserved = scene.lost();
    assert!(reserved.another_at_hand(&scene.target));
    assert_eq!(scene.left(0), (0, 0));
    reserved.give_back();
    assert_eq!(scene.left(0), (EACH, 0));
    assert!(!reserved.covers_another(&scene.target));
    reserved.give_back();
    reserved.settle(None, Outcome::Nothing);
    assert_eq!(scene.left(0), (EACH, EACH), "the lost one is paid for");
}

/// What the first has stays where it was taken.
#[tokio::test(start_paused = true)]
async fn an_attempt_after_the_end_of_a_window_is_paid_of_the_next() {
    let scene = Scene::new(1, |_| ()).await;
    scene.has(&[EACH]);
    let before = scene.line(0);
    let mut reserved = scene.lost();
    advance(Duration::from_secs(10)).await;
    scene.has(&[EACH]);
    assert!(!Arc::ptr_eq(&before, &scene.line(0)));
    assert!(reserved.another_at_hand(&scene.target));
    reserved.asks(&scene.target);
    let usage = Usage { output: 3, ..Usage::default() };
    reserved.settle(Some(&scene.target), Outcome::Reported(usage));
    assert_eq!((before.purse().spent(), scene.left(0)), (EACH, (7, 3)));
}
