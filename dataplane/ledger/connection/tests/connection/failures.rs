//! A server that is away, in all the ways that there are. Whatever it does, an operation ends when its time is over, and
//! the connection comes back by itself.

use std::time::{Duration, Instant};

use llm_config::budget::Redis;
use llm_ledger::account::Answer;
use llm_ledger_connection::{Connection, Kind, Unanswered};
use tokio::net::TcpListener;

use crate::account::{LIMIT, answers, begin, granted, place, refuses, says};
use crate::eventually::eventually;
use crate::ports::free_port;
use crate::relay::Relay;
use crate::server::{Server, WITHIN};

/// Of what is to take 50 ms: this machine may be busy.
const PROMPT: Duration = Duration::from_millis(800);

async fn asks(ledger: &Connection) -> Result<Answer, Unanswered> {
    let begun = Instant::now();
    let answer = ledger.state(&place("a"), &says(1, 1, (0, 0), 10)).await;
    assert!(begun.elapsed() < PROMPT, "{:?}: {answer:?}", begun.elapsed());
    answer
}

fn at(endpoint: String) -> Redis {
    Redis { endpoints: vec![endpoint], ..Redis::default() }
}

#[tokio::test]
async fn a_server_that_comes_later_is_found_and_one_that_was_killed_is_found_again() {
    let port = free_port();
    let begun = Instant::now();
    let ledger = Connection::redis(&at(format!("127.0.0.1:{port}"))).unwrap();
    assert!(begun.elapsed() < PROMPT);
    let why = refuses(&ledger, &place("a"), "refused").await;
    assert_eq!(why.to_string(), format!("127.0.0.1:{port}: Connection refused (os error 111)"));
    assert_eq!((why.kind, ledger.is_reachable()), (Kind::Disconnected, false));

    let mut server = Server::at(port, &[]);
    answers(&ledger, &place("a")).await;
    begin(&ledger, &place("a"), LIMIT).await;
    server.kill();
    let why = refuses(&ledger, &place("a"), "refused").await;
    assert_eq!(why.kind, Kind::Disconnected);
    server.restart(&[]);
    answers(&ledger, &place("a")).await;
    // It has forgotten everything, and grants nothing.
    assert_eq!(asks(&ledger).await, Ok(Answer::Closed));
    assert!(ledger.operations().disconnected >= 2 && ledger.is_reachable());
}

#[tokio::test]
async fn a_server_that_is_paused_costs_each_operation_its_time_and_no_more() {
    let server = Server::start(&[]);
    let ledger = Connection::redis(&server.settings()).unwrap();
    begin(&ledger, &place("a"), LIMIT).await;
    server.stop();
    let why = asks(&ledger).await.unwrap_err();
    assert_eq!(why.to_string(), format!("127.0.0.1:{} did not answer within 50 ms", server.port));
    assert_eq!((why.kind, ledger.is_reachable()), (Kind::Timeout, false));
    // Once the connection has been given up the server does not even greet.
    refuses(&ledger, &place("a"), "did not answer HELLO within 1000 ms").await;
    server.go_on();
    answers(&ledger, &place("a")).await;
    // What was asked may have been applied, or not: what is asked now counts.
    assert_eq!(granted(&ledger.state(&place("a"), &says(1, 9, (0, 0), 10)).await), 10);
    let totals = ledger.with_timeout(WITHIN).totals(&[place("a")]).await.remove(0).unwrap().unwrap();
    assert_eq!((totals.held, totals.free), (10, LIMIT - 10));
}

#[tokio::test]
async fn a_connection_that_is_dead_and_silent_is_given_up() {
    let server = Server::start(&[]);
    let relay = Relay::to(server.port);
    let ledger = Connection::redis(&at(format!("127.0.0.1:{}", relay.port))).unwrap();
    begin(&ledger, &place("a"), LIMIT).await;
    relay.silence();
    let silent = Instant::now();
    assert_eq!(asks(&ledger).await.unwrap_err().kind, Kind::Timeout);
    answers(&ledger, &place("a")).await;
    // Nobody waited for the check that comes anyway.
    assert!(silent.elapsed() < Duration::from_secs(8), "{:?}", silent.elapsed());
    assert_eq!(relay.accepted.load(std::sync::atomic::Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_said() {
    let ledger = Connection::redis(&at("no-such-host.invalid:6379".to_owned())).unwrap();
    let why = refuses(&ledger, &place("a"), "resolve").await;
    assert!(why.to_string().starts_with("no-such-host.invalid:6379"), "{why}");
}

/// Attempts are counted, and not timed out: the sixth comes after five pauses, each of them at least half of what it may
/// be.
#[tokio::test]
async fn a_server_that_hangs_up_is_not_stormed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ledger = Connection::redis(&at(listener.local_addr().unwrap().to_string())).unwrap();
    let first = Instant::now();
    for _ in 0..6 {
        drop(listener.accept().await.unwrap());
    }
    assert!(
        first.elapsed() >= Duration::from_millis((50 + 100 + 200 + 400 + 800) / 2),
        "{:?}",
        first.elapsed()
    );
    let why = asks(&ledger).await.unwrap_err();
    assert_eq!(why.kind, Kind::Disconnected, "{why}");
}

/// Whoever else uses the server may block it: at first it says nothing, then that it is busy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_runs_a_slow_script_is_waited_for_no_longer() {
    let server = std::sync::Arc::new(Server::start(&["--busy-reply-threshold", "200"]));
    let ledger = Connection::redis(&server.settings()).unwrap();
    begin(&ledger, &place("a"), LIMIT).await;
    let slow = server.clone();
    let slow = tokio::task::spawn_blocking(move || {
        slow.try_ask::<redis::Value>(&["EVAL", "while true do end", "0"])
    });
    let why = refuses(&ledger, &place("a"), "BUSY").await;
    assert!(why.to_string().ends_with(": another client's script runs; SCRIPT KILL ends it"), "{why}");
    assert_eq!(why.kind, Kind::Refused);
    assert!(ledger.operations().timeout > 0, "{:?}", ledger.operations());
    server.ask::<()>(&["SCRIPT", "KILL"]);
    slow.await.unwrap().unwrap_err();
    answers(&ledger, &place("a")).await;
}

#[tokio::test]
async fn a_server_that_still_reads_its_data_says_so() {
    let mut server = Server::start(&["--enable-debug-command", "local"]);
    server.ask::<()>(&["DEBUG", "POPULATE", "20000"]);
    server.ask::<()>(&["SAVE"]);
    server.kill();
    server.restart(&["--key-load-delay", "1000", "--loading-process-events-interval-bytes", "1024"]);
    let ledger = Connection::redis(&server.settings()).unwrap();
    let why = refuses(&ledger, &place("a"), "LOADING").await;
    assert_eq!(
        why.to_string(),
        format!(
            "{}: LOADING Redis is loading the dataset in memory: it is reading its data, and answers when it has",
            server.endpoint()
        )
    );
    server.ask::<()>(&["CONFIG", "SET", "key-load-delay", "0"]);
    let answer = eventually("it has read its data", WITHIN, async || {
        asks(&ledger).await.map_err(|why| why.to_string())
    });
    assert_eq!(answer.await, Answer::Closed);
}
