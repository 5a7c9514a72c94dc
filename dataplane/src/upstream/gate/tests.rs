//! Who gets in, in which order, and that no seat is lost.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use llm_config::Queue;

use super::*;

fn limits(concurrent: u32, size: u32) -> Limits {
    Limits { concurrent: Some(concurrent), queue: Queue { size, timeout_ms: 1_000 }, ..Limits::default() }
}

fn gate(limits: Limits) -> Arc<Gate> {
    let gate = Arc::new(Gate::default());
    gate.limit(limits);
    gate
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(1)
}

fn inside(gate: &Gate) -> (u32, u32) {
    (gate.inside.load(SeqCst), gate.waiting.load(SeqCst))
}

#[tokio::test(start_paused = true)]
async fn the_highest_priority_is_next_and_then_who_came_first() {
    let gate = gate(limits(1, 10));
    let first = gate.enter(0, clock::now()).unwrap();
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
            let _inside = gate.wait(0, priority, soon()).await.unwrap();
            order.lock().unwrap().push(name);
        };
        waiting.push(tokio::spawn(waits));
        tokio::task::yield_now().await;
    }
    assert_eq!(inside(&gate), (1, 4));
    assert_eq!(
        gate.enter(0, clock::now()).unwrap_err(),
        Full { room_in: None },
        "who waits is not overtaken"
    );
    drop(first);
    for task in waiting {
        task.await.unwrap();
    }
    assert_eq!(*order.lock().unwrap(), ["c", "d", "b", "a"]);
    assert_eq!(inside(&gate), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn who_waits_too_long_or_gives_up_leaves_no_trace() {
    let gate = gate(limits(1, 2));
    let first = gate.enter(0, clock::now()).unwrap();
    let wait = || gate.wait(0, QueuePriority::Normal, soon());
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
    let gate = gate(Limits { requests_per_minute: Some(10), tokens_per_minute: Some(1_000), ..limits(9, 9) });
    drop(gate.enter(10, clock::now()).unwrap());
    let full = gate.enter(10, clock::now()).unwrap_err();
    assert!(full.room_in.is_some_and(|room_in| room_in < Duration::from_secs(10)), "{full:?}");
    let until = Instant::now() + Duration::from_secs(60);
    let began = Instant::now();
    for _ in 0..3 {
        drop(gate.wait(10, QueuePriority::Normal, until).await.unwrap());
    }
    assert!(began.elapsed() >= Duration::from_secs(15), "{:?}", began.elapsed());
    let hasty = gate.wait(10, QueuePriority::Normal, Instant::now() + Duration::from_secs(1)).await;
    assert!(hasty.unwrap_err().room_in.is_some(), "it is told at once that there is no use in waiting");
    assert_eq!(inside(&gate), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn tokens_that_were_not_taken_are_given_back_and_more_are_charged() {
    let gate = gate(Limits { tokens_per_minute: Some(1_000), ..Limits::default() });
    let inside = gate.enter(100, clock::now()).unwrap();
    assert!(gate.enter(50, clock::now()).is_err());
    inside.took(10, clock::now());
    let second = gate.enter(50, clock::now()).unwrap();
    second.took(600, clock::now());
    let wait = gate.enter(1, clock::now()).unwrap_err().room_in.unwrap();
    assert!(wait > Duration::from_secs(20), "{wait:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_seat_is_lost_however_they_come_and_go() {
    let gate = gate(limits(3, 1_000));
    let mut tasks = Vec::new();
    for i in 0..400_u64 {
        let gate = gate.clone();
        tasks.push(tokio::spawn(async move {
            let patience = Duration::from_micros(i % 7 * 300);
            let until = Instant::now() + patience;
            if let Ok(inside) = gate.wait(0, QueuePriority::Normal, until).await {
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
    let all: Vec<Inside> = (0..3).map(|_| gate.enter(0, clock::now()).unwrap()).collect();
    assert!(gate.enter(0, clock::now()).is_err());
    drop(all);
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_changes_holds_for_those_who_wait_and_counts_those_inside() {
    let gate = gate(limits(2, 10));
    let (one, two) = (gate.enter(0, clock::now()).unwrap(), gate.enter(0, clock::now()).unwrap());
    let wait = || {
        let gate = gate.clone();
        tokio::spawn(async move { gate.wait(0, QueuePriority::Normal, soon()).await.unwrap() })
    };
    let (first, second) = (wait(), wait());
    tokio::task::yield_now().await;
    gate.limit(limits(1, 10));
    drop(one);
    tokio::task::yield_now().await;
    assert_eq!(inside(&gate), (1, 2), "there is one seat, and it is taken");
    gate.limit(limits(3, 10));
    let (first, second) = (first.await.unwrap(), second.await.unwrap());
    assert_eq!(inside(&gate), (3, 0));
    gate.limit(Limits::default());
    let fourth = gate.enter(0, clock::now()).unwrap();
    drop((two, first, second, fourth));
    assert_eq!(inside(&gate), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_part_of_nothing_goes_in_when_there_is_one_and_else_is_told_in_time() {
    let none = |concurrent, minute| Limits {
        concurrent,
        requests_per_minute: minute,
        tokens_per_minute: minute,
        ..limits(0, 9)
    };
    for nothing in [none(Some(0), None), none(None, Some(0)), none(Some(0), Some(0))] {
        let gate = gate(nothing);
        assert_eq!(gate.enter(1, clock::now()).unwrap_err(), Full { room_in: None });
        assert!(gate.wait(1, QueuePriority::Normal, soon()).await.is_err());
        let waits = tokio::spawn({
            let gate = gate.clone();
            async move { gate.wait(1, QueuePriority::Normal, soon()).await.unwrap() }
        });
        tokio::task::yield_now().await;
        assert_eq!(inside(&gate), (0, 1));
        gate.limit(none(Some(1), Some(10)));
        drop(waits.await.unwrap());
        assert_eq!(inside(&gate), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_minute_has_taken_counts_on_under_another_limit() {
    let of_tokens = |most| Limits { tokens_per_minute: Some(most), ..limits(9, 9) };
    let gate = gate(of_tokens(1_000));
    gate.enter(1_000, clock::now()).unwrap().took(1_000, clock::now());
    gate.limit(of_tokens(500));
    let wait = gate.enter(100, clock::now()).unwrap_err().room_in.unwrap();
    assert!(wait > Duration::from_secs(30), "{wait:?}");
}

#[tokio::test(start_paused = true)]
async fn a_call_larger_than_a_minute_takes_all_of_it_and_gives_back_what_it_did_not_use() {
    let gate = gate(Limits { tokens_per_minute: Some(1_000), ..Limits::default() });
    let large = gate.enter(50_000, clock::now()).unwrap();
    large.took(990, clock::now());
    assert!(gate.enter(100, clock::now()).is_err(), "ten are left");
}
