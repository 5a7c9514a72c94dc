//! The outage drill: 200 clients at once, three providers of which one dies, one stalls, one limits rates, and all
//! recover. Every call is answered rightly, or fails within its deadline by what its providers did; nobody is asked
//! more than its share and the retries; in the end the breakers are closed and all is shared as in the beginning.

mod crowd;
mod provider;

use crate::{
    client::End,
    providers::{self, MODEL, document, with_attempts, with_breaker},
};
use crowd::{Crowd, Record, tally};
use harness::{Proxy, markdown};
use provider::{Mood, Provider};
use serde_json::json;
use std::time::{Duration, Instant};

const CLIENTS: usize = 200;
/// Calls in each phase, at least.
const CALLS: usize = 400;
const REQUEST: Duration = Duration::from_secs(4);
/// How much later than its deadline a client may have its answer on a machine that does other things too.
const SLACK: Duration = Duration::from_millis(1_500);
const RECOVERY: Duration = Duration::from_secs(1);
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What goes on. A phase that ends in `ing` holds the moment of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Healthy,
    /// `a` breaks its connections and refuses others.
    Dying,
    OneDead,
    /// `b` answers nothing.
    Stalling,
    OneLeft,
    /// `c` limits rates.
    Limiting,
    NobodyLeft,
    /// `a` is back.
    Returning,
    OneBack,
    /// So are the others.
    Recovering,
    Well,
}

use Phase::*;

const PHASES: [Phase; 11] =
    [Healthy, Dying, OneDead, Stalling, OneLeft, Limiting, NobodyLeft, Returning, OneBack, Recovering, Well];

/// What a run leaves to be judged.
struct Run {
    records: Vec<Record>,
    /// Attempts at each provider, in all.
    attempts: [f64; 3],
    /// How often each breaker opened.
    opened: [f64; 3],
    /// Attempts at a provider while its breaker was open, and for how long it was.
    while_open: [(f64, Duration); 2],
    /// When `c` was asked while it limited rates.
    while_limiting: Vec<tokio::time::Instant>,
    took: Duration,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_costs_no_call_more_than_it_must() {
    let mut providers = [Provider::start("a").await, Provider::start("b").await, Provider::start("c").await];
    let run = run(&mut providers).await;
    println!("{}", report(&run));
    for record in &run.records {
        judge(record);
    }
    breakers(&run);
    shares(&run);
    retries(&run);
}

async fn start(providers: &[Provider; 3]) -> Proxy {
    let all = providers.each_ref().map(|p| providers::provider(p.name, p.upstream.url(), 0, MODEL));
    let mut document = with_breaker(with_attempts(document(&all), 3), 5, RECOVERY);
    document["routes"]["ai/chat"]["rules"][0]["timeouts"] =
        json!({"requestMs": REQUEST.as_millis() as u64, "firstTokenMs": 800, "idleMs": 2_000});
    Proxy::start(&document, &[]).await
}

async fn run(providers: &mut [Provider; 3]) -> Run {
    let proxy = start(providers).await;
    let [a, b, c] = providers;
    let began = Instant::now();
    let crowd = Crowd::start(CLIENTS, &proxy);
    crowd.await_calls(CALLS).await;

    crowd.enters(Dying);
    a.upstream.die().await;
    a.await_breaker(&proxy, 2.0).await;
    a.await_idle(&proxy).await;
    crowd.enters(OneDead);
    let (asked, since) = (a.attempts(&proxy).await, Instant::now());
    crowd.await_calls(CALLS).await;
    let a_open = (a.attempts(&proxy).await - asked, since.elapsed());

    crowd.enters(Stalling);
    b.turns(Mood::Stalls);
    b.await_breaker(&proxy, 2.0).await;
    crowd.enters(OneLeft);
    let (asked, since) = (b.upstream.requests().len(), Instant::now());
    crowd.await_calls(CALLS).await;
    let b_open = ((b.upstream.requests().len() - asked) as f64, since.elapsed());

    crowd.enters(Limiting);
    let asked = c.upstream.arrivals().len();
    c.turns(Mood::Limits);
    crowd.enters(NobodyLeft);
    crowd.await_calls(CLIENTS).await;

    crowd.enters(Returning);
    a.upstream.revive().await;
    a.await_breaker(&proxy, 0.0).await;
    crowd.enters(OneBack);
    crowd.await_calls(CALLS).await;
    let while_limiting = c.upstream.arrivals().split_off(asked);

    crowd.enters(Recovering);
    b.turns(Mood::Well);
    c.turns(Mood::Well);
    for provider in [&*a, b, c] {
        provider.await_breaker(&proxy, 0.0).await;
    }
    crowd.enters(Well);
    crowd.await_calls(CALLS).await;
    let records = crowd.leaves().await;

    let opened = [a.opened(&proxy).await, b.opened(&proxy).await, c.opened(&proxy).await];
    let attempts = [a.attempts(&proxy).await, b.attempts(&proxy).await, c.attempts(&proxy).await];
    Run { records, attempts, opened, while_open: [a_open, b_open], while_limiting, took: began.elapsed() }
}

/// Answered by one provider as it was asked, or failed by what its providers did meanwhile; and in time.
fn judge(record: &Record) {
    assert!(record.got.took <= REQUEST + SLACK, "too late: {record:?}");
    if record.answered_by().is_some() {
        return;
    }
    let nobody = record.saw(Limiting, Returning);
    let may = match &record.got.end {
        // Its first byte had gone out: no other provider could take over.
        End::Broken { code } if code == "stream_broken" => record.saw(Dying, Dying),
        // It had waited for others for so long that its deadline came in the middle of the answer.
        End::Broken { code } => code == "stream_deadline" && record.saw(Stalling, Recovering),
        // Who does not stream has no other deadline than that of the whole call.
        End::Failed { status: 504, code } if code == "provider_timeout" => {
            (nobody || !record.streamed) && record.saw(Stalling, Recovering)
        }
        End::Failed { status: 429 | 503, .. } => nobody && record.got.retry_after.is_some(),
        End::Failed { status, code } => {
            let codes = ["provider_unreachable", "provider_closed", "provider_first_token_timeout"];
            nobody && [502, 504].contains(status) && codes.contains(&code.as_str())
        }
        End::Answered(_) | End::Silent(_) => false,
    };
    assert!(may, "{record:?}");
}

/// Each has its third while all are well, its half while one is dead, and an open breaker lets probes through only.
fn shares(run: &Run) {
    let even = |phase: Phase, among: &[&str]| {
        // Not those that a change has met: another has taken them over.
        let within: Vec<Record> =
            run.records.iter().filter(|record| record.ended == phase).cloned().collect();
        let tally = tally(&within, phase);
        let calls: usize = tally.values().sum();
        for name in among {
            let share = tally.get(*name).copied().unwrap_or_default() * among.len();
            // 100 calls and more are each one's: chance alone is not off by two fifths.
            assert!(share * 5 >= calls * 3 && share * 5 <= calls * 7, "{phase:?}: {tally:?}");
        }
    };
    even(Healthy, &["a", "b", "c"]);
    even(OneDead, &["b", "c"]);
    even(Well, &["a", "b", "c"]);
    for (attempts, open) in run.while_open {
        let probes = open.as_secs_f64() / RECOVERY.as_secs_f64() + 1.0;
        assert!(attempts <= probes.ceil(), "{attempts} attempts within {open:?} of an open breaker");
    }
    // Those that are on their way when the first is refused come together. Then there is nothing for a second.
    for pair in run.while_limiting.windows(2) {
        let pause = pair[1] - pair[0];
        assert!(
            pause < RETRY_AFTER / 2 || pause >= RETRY_AFTER,
            "asked again after {pause:?}: {:?}",
            run.while_limiting.iter().map(|at| *at - run.while_limiting[0]).collect::<Vec<_>>(),
        );
    }
}

/// The dead one and the one that stalls are left alone; a limit is no failure.
fn breakers(run: &Run) {
    let [a, b, c] = run.opened;
    assert!(a >= 1.0 && b >= 1.0 && c == 0.0, "{:?}", run.opened);
}

/// Every call may come to a provider once; the rest are retries, which have their budget.
fn retries(run: &Run) {
    let calls = run.records.len() as f64;
    let budget = calls / 5.0 + run.took.as_secs_f64() + 10.0;
    for attempts in run.attempts {
        assert!(attempts <= calls + budget, "{attempts} attempts of {calls} calls");
    }
}

fn report(run: &Run) -> String {
    let mut rows = vec![["Phase", "calls", "what came of them"].map(str::to_owned).to_vec()];
    for phase in PHASES {
        let tally = tally(&run.records, phase);
        let calls: usize = tally.values().sum();
        let what: Vec<String> = tally.iter().map(|(what, count)| format!("{count} {what}")).collect();
        rows.push(vec![format!("{phase:?}"), calls.to_string(), what.join(", ")]);
    }
    let longest = run.records.iter().map(|record| record.got.took).max().unwrap_or_default();
    format!(
        "{}\n{} calls within {:?}, the longest of {:?}; attempts at a, b, c: {:?}; while their breakers were open: {:?}; \
         at c while it limited: {}\n",
        markdown(&rows),
        run.records.len(),
        run.took,
        longest,
        run.attempts,
        run.while_open,
        run.while_limiting.len(),
    )
}
