//! Who gets in, in which order, and that no seat is lost.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use llm_config::Queue;

use super::*;

fn limits(concurrent: u32, size: u32) -> Limits {
    Limits { concurrent: Some(concurrent), queue: Queue { size, timeout_ms: 1_000 }, ..Limits::default() }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(1)
}

fn inside(gate: &Gate) -> (u32, u32) {
    (gate.inside.load(SeqCst), gate.waiting.load(SeqCst))
}

#[tokio::test(start_paused = true)]
async fn the_highest_priority_is_next_and_then_who_came_first() {
    let (gate, limits) = (Arc::new(Gate::default()), limits(1, 10));
    let first = gate.enter(&limits, 0).unwrap();
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut waiting = Vec::new();
    for (name, priority) in [
        ("a", QueuePriority::Low),
        ("b", QueuePriority::Normal),
        ("c", QueuePriority::High),
        ("d", QueuePriority::High),
    ] {
        let (gate, order) = (gate.clone(), order.clone());
        let waits = async move {
            let _inside = gate.wait(&limits, 0, priority, soon()).await.unwrap();
            order.lock().unwrap().push(name);
        };
        waiting.push(tokio::spawn(waits));
        tokio::task::yield_now().await;
    }
    assert_eq!(inside(&gate), (1, 4));
    assert_eq!(gate.enter(&limits, 0).unwrap_err(), Full { room_in: None }, "who waits is not overtaken");
    drop(first);
    for task in waiting {
        task.await.unwrap();
    }
    assert_eq!(*order.lock().unwrap(), ["c", "d", "b", "a"]);
    assert_eq!(inside(&gate), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn who_waits_too_long_or_gives_up_leaves_no_trace() {
    let (gate, limits) = (Arc::new(Gate::default()), limits(1, 2));
    let first = gate.enter(&limits, 0).unwrap();
    let wait = || gate.wait(&limits, 0, QueuePriority::Normal, soon());
    let given_up = tokio::time::timeout(Duration::from_millis(1), wait()).await;
    assert!(given_up.is_err());
    assert!(wait().await.is_err(), "too long");
    let (one, two, three) = tokio::join!(wait(), wait(), wait());
    assert!(one.is_err() && two.is_err() && three.is_err(), "there are two places, and no room");
    assert_eq!(inside(&gate), (1, 0));
    drop(first);
    assert_eq!(inside(&gate), (0, 0));
    drop(wait().await.unwrap());
    assert_eq!(inside(&gate), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn the_minute_lets_through_what_it_allows_and_tells_when_there_is_more() {
    let gate = Arc::new(Gate::default());
    let limits = Limits { requests_per_minute: Some(10), tokens_per_minute: Some(1_000), ..limits(9, 9) };
    drop(gate.enter(&limits, 10).unwrap());
    let full = gate.enter(&limits, 10).unwrap_err();
    assert!(full.room_in.is_some_and(|room_in| room_in < Duration::from_secs(10)), "{full:?}");
    let until = Instant::now() + Duration::from_secs(60);
    let began = Instant::now();
    for _ in 0..3 {
        drop(gate.wait(&limits, 10, QueuePriority::Normal, until).await.unwrap());
    }
    assert!(began.elapsed() >= Duration::from_secs(15), "{:?}", began.elapsed());
    let hasty = gate.wait(&limits, 10, QueuePriority::Normal, Instant::now() + Duration::from_secs(1)).await;
    assert!(hasty.unwrap_err().room_in.is_some(), "it is told at once that there is no use in waiting");
    assert_eq!(inside(&gate), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn tokens_that_were_not_taken_are_given_back_and_more_are_charged() {
    let gate = Arc::new(Gate::default());
    let limits = Limits { tokens_per_minute: Some(1_000), ..Limits::default() };
    let inside = gate.enter(&limits, 100).unwrap();
    assert!(gate.enter(&limits, 50).is_err());
    inside.took(10);
    let second = gate.enter(&limits, 50).unwrap();
    second.took(600);
    let wait = gate.enter(&limits, 1).unwrap_err().room_in.unwrap();
    assert!(wait > Duration::from_secs(20), "{wait:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_seat_is_lost_however_they_come_and_go() {
    let (gate, limits) = (Arc::new(Gate::default()), limits(3, 1_000));
    let mut tasks = Vec::new();
    for i in 0..400_u64 {
        let gate = gate.clone();
        tasks.push(tokio::spawn(async move {
            let patience = Duration::from_micros(i % 7 * 300);
            let until = Instant::now() + patience;
            if let Ok(inside) = gate.wait(&limits, 0, QueuePriority::Normal, until).await {
                assert!(gate.inside.load(SeqCst) <= 3);
                tokio::time::sleep(Duration::from_micros(i % 5 * 100)).await;
                drop(inside);
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(inside(&gate), (0, 0));
    assert!(gate.queue.lock().unwrap().waiting.is_empty());
    let all: Vec<Inside> = (0..3).map(|_| gate.enter(&limits, 0).unwrap()).collect();
    assert!(gate.enter(&limits, 0).is_err());
    drop(all);
}

#[tokio::test(start_paused = true)]
async fn who_leaves_makes_room_by_the_limit_of_who_waits() {
    let (gate, limits, none) = (Arc::new(Gate::default()), limits(1, 10), Limits::default());
    let (seated, unlimited) = (gate.enter(&limits, 0).unwrap(), gate.enter(&none, 0).unwrap());
    let waits = async || gate.wait(&limits, 0, QueuePriority::Normal, soon()).await;
    let (first, second, ()) = tokio::join!(waits(), waits(), async {
        tokio::task::yield_now().await;
        drop(unlimited);
        assert_eq!(inside(&gate), (1, 2), "there is one seat, and it is taken");
    });
    assert!(first.is_err() && second.is_err());
    drop(seated);
    assert_eq!(inside(&gate), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_call_larger_than_a_minute_takes_all_of_it_and_gives_back_what_it_did_not_use() {
    let gate = Arc::new(Gate::default());
    let limits = Limits { tokens_per_minute: Some(1_000), ..Limits::default() };
    let large = gate.enter(&limits, 50_000).unwrap();
    large.took(990);
    assert!(gate.enter(&limits, 100).is_err(), "ten are left");
}
