//! One dollar among eight proxies and five hundred clients: whatever hangs up, is killed or stalls, the provider bills
//! no more than that; and where nothing is killed, nearly all of it can be spent.
//!
//! `RUNS=20` runs each that often; the figures go to `target/budgets.md`.

use crate::crowd::{Crowd, Tally};
use crate::scene::{Proxies, Scene};
use harness::{eventually, markdown, workspace};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

const LIMIT: u64 = 1_000_000_000;
const PROXIES: usize = 8;
const CLIENTS: usize = 500;
const WITHIN: Duration = Duration::from_secs(120);

/// What becomes of proxies, clients and Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    None,
    All,
    /// Half of the proxies do not reach Redis for a while.
    Parted,
}

impl Trouble {
    const EACH: [Self; 3] = [Self::None, Self::All, Self::Parted];
}

struct Run {
    trouble: Trouble,
    billed: u64,
    charged: u64,
    /// In the hands of those that were killed.
    lost: u64,
    tally: Arc<Tally>,
}

impl Run {
    /// Calls that were refused though there was money that no running call could need, of all that ended meanwhile. Where
    /// several got nothing, it would have served a part of them.
    fn falsely(&self) -> (f64, usize) {
        let moments = self.tally.moments.lock().unwrap();
        let moments = moments.iter().map(|moment| (moment, moment.free.saturating_sub(self.lost)));
        let with_money: Vec<_> = moments.filter(|(moment, free)| *free >= moment.most).collect();
        let refused = with_money.iter().filter(|(moment, _)| moment.refused);
        let falsely =
            refused.map(|(moment, free)| (*free as f64 / (moment.most * moment.unserved) as f64).min(1.0));
        (falsely.sum(), with_money.len())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_dollar_is_never_more_than_one_dollar() {
    let count: u64 = std::env::var("RUNS").map_or(1, |runs| runs.parse().unwrap());
    let mut runs = Vec::new();
    for seed in 0..count {
        for trouble in Trouble::EACH {
            runs.push(run(seed, trouble).await);
        }
    }
    let table = report(&runs);
    println!("{table}");
    std::fs::write(workspace().join("target/budgets.md"), &table).unwrap();
    for run in &runs {
        assert!(run.billed <= LIMIT, "{:?}: billed {}", run.trouble, run.billed);
        assert!(run.charged <= LIMIT, "{:?}: charged {}", run.trouble, run.charged);
        // Who comes back from a part of the network spends on, and what was held there is not lost.
        if run.trouble != Trouble::All {
            assert!(run.charged >= LIMIT / 100 * 97, "charged {}", run.charged);
        }
    }
}

async fn run(seed: u64, trouble: Trouble) -> Run {
    let scene = Arc::new(Scene::start(&format!("proof-{seed}"), LIMIT).await);
    let proxies = Arc::<Proxies>::default();
    for place in 0..PROXIES {
        let is_parted = trouble == Trouble::Parted && place % 2 == 0;
        let proxy = if is_parted { scene.linked_proxy().await } else { scene.proxy().await };
        proxies.put(place, Some(proxy));
    }
    let listening = tokio::spawn(scene.clone().listen());
    let crowd = Crowd::start(CLIENTS, trouble == Trouble::All, seed, &scene, &proxies);
    match trouble {
        Trouble::None => {}
        Trouble::All => make_trouble(&scene, &proxies).await,
        Trouble::Parted => part(&scene).await,
    }
    // Until nobody gets anything any more: all is spent, or in the hands of those that were killed.
    let mut answered = (0, tokio::time::Instant::now());
    eventually("the limit is reached", WITHIN, async || {
        let now = crowd.tally.answered.load(Relaxed);
        if now != answered.0 {
            answered = (now, tokio::time::Instant::now());
        }
        let refused: u64 = crowd.tally.refused.lock().unwrap().values().sum();
        if refused > 100 && answered.1.elapsed() > Duration::from_secs(5) {
            Ok(())
        } else {
            Err(format!("{:?}, billed {}, {:?}", crowd.tally, scene.provider.billed(), scene.totals().await))
        }
    })
    .await;
    let tally = crowd.stop().await;
    listening.abort();
    let mut charged = (0, tokio::time::Instant::now());
    let charged = eventually("all is told", WITHIN, async || {
        let totals = scene.totals().await;
        if totals.spent != charged.0 {
            charged = (totals.spent, tokio::time::Instant::now());
        }
        if charged.1.elapsed() > Duration::from_secs(4) { Ok(totals) } else { Err(format!("{totals:?}")) }
    })
    .await;
    Run { trouble, billed: scene.provider.billed(), charged: charged.spent, lost: charged.held, tally }
}

async fn until_billed(scene: &Scene, amount: u64) {
    eventually("clients spend", WITHIN, async || {
        if scene.provider.billed() > amount { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;
}

/// Cuts half of the proxies off Redis until all have spent as much again, and for five seconds more.
async fn part(scene: &Scene) {
    until_billed(scene, LIMIT / 10).await;
    scene.link.cut();
    until_billed(scene, LIMIT / 5).await;
    // What is tried is a network that is away for so long.
    tokio::time::sleep(Duration::from_secs(5)).await;
    scene.link.mend();
}

/// Kills proxies and starts others in their place; stops Redis for five seconds.
async fn make_trouble(scene: &Arc<Scene>, proxies: &Arc<Proxies>) {
    until_billed(scene, LIMIT / 10).await;
    for place in [0, 3] {
        let killed = proxies.put(place, None).unwrap();
        killed.process.kill();
        proxies.put(place, Some(scene.proxy().await));
    }
    scene.redis.pause();
    // What is tried is a ledger that is away for so long.
    tokio::time::sleep(Duration::from_secs(5)).await;
    scene.redis.resume();
    let killed = proxies.put(5, None).unwrap();
    killed.process.kill();
    proxies.put(5, Some(scene.proxy().await));
}

fn report(runs: &[Run]) -> String {
    let usd = |nano: u64| format!("{:.6}", nano as f64 / 1e9);
    let rows = runs.iter().map(|run| {
        let Tally { answered, hung_up, broken, refused, .. } = run.tally.as_ref();
        let refused = refused.lock().unwrap();
        let (falsely, with_money) = run.falsely();
        vec![
            format!("{:?}", run.trouble),
            usd(run.billed),
            usd(run.charged),
            answered.load(Relaxed).to_string(),
            hung_up.load(Relaxed).to_string(),
            broken.load(Relaxed).to_string(),
            refused.iter().map(|(code, count)| format!("{code} {count}")).collect::<Vec<_>>().join(", "),
            format!("{falsely:.0} of {with_money}"),
        ]
    });
    let head =
        ["trouble", "billed USD", "charged USD", "answered", "hung up", "broken", "refused", "falsely"];
    let head = head.map(str::to_owned).to_vec();
    markdown(&std::iter::once(head).chain(rows).collect::<Vec<_>>())
}
