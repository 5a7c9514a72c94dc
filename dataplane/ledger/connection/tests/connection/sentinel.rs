//! A master that sentinels name, and another after it.

use std::fs;

use llm_config::{
    Credential,
    budget::{Redis, RedisMode},
};
use llm_ledger::account::Answer;
use llm_ledger_connection::{Connection, Kind};

use crate::account::{EPOCH, LIMIT, answers, begin, fails, granted, place, refuses, says};
use crate::eventually::eventually;
use crate::ports::free_port;
use crate::server::{Server, WITHIN, folder};

/// A sentinel that watches a master, and is enough by itself to name another.
fn sentinel(master: &Server, password: &str) -> Server {
    let (port, folder) = (free_port(), folder());
    let lines = [
        format!("port {port}"),
        "bind 127.0.0.1".to_owned(),
        format!("requirepass {password}"),
        format!("sentinel monitor budgets 127.0.0.1 {} 1", master.port),
        "sentinel down-after-milliseconds budgets 500".to_owned(),
        "sentinel failover-timeout budgets 2000".to_owned(),
        "sentinel auth-pass budgets of-servers".to_owned(),
    ];
    fs::write(folder.join("sentinel.conf"), lines.join("\n")).unwrap();
    Server::within(folder, port, &["sentinel.conf", "--sentinel"])
}

fn settings(sentinels: &[&str], password: &str) -> Redis {
    let credential = |text: &str| Some(Credential::new(text.to_owned()));
    Redis {
        endpoints: sentinels.iter().map(ToString::to_string).collect(),
        mode: RedisMode::Sentinel {
            master: "budgets".to_owned(),
            username: None,
            password: credential(password),
        },
        password: credential("of-servers"),
        ..Redis::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_failover_the_new_master_is_asked_and_begun_anew() {
    let secured = ["--requirepass", "of-servers", "--masterauth", "of-servers"];
    let mut master = Server::start(&secured);
    let of_master = format!("127.0.0.1 {}", master.port);
    let replica = Server::start(&[&secured[..], &["--replicaof", &of_master]].concat());
    let sentinel = sentinel(&master, "of-sentinels");
    // The first of them is away.
    let away = format!("127.0.0.1:{}", free_port());
    let ledger = Connection::redis(&settings(&[&away, &sentinel.endpoint()], "of-sentinels")).unwrap();
    begin(&ledger, &place("a"), LIMIT).await;
    assert_eq!(granted(&ledger.with_timeout(WITHIN).state(&place("a"), &says(1, 1, (0, 0), 10)).await), 10);
    eventually("the sentinel knows the replica", WITHIN, async || {
        let master: Vec<String> = sentinel.ask_as("of-sentinels", &["SENTINEL", "MASTER", "budgets"]);
        let known = master.chunks(2).any(|field| field == ["num-slaves", "1"]);
        known.then_some(()).ok_or(format!("{master:?}"))
    })
    .await;
    master.kill();
    fails(&ledger, &place("a"), Kind::Disconnected).await;
    answers(&ledger, &place("a")).await;
    // It may remember, and does not know whether that is all.
    let place = place("a");
    assert_eq!(ledger.state(&place, &says(1, 2, (10, 0), 10)).await, Ok(Answer::Closed));
    let later = llm_ledger::Epoch(EPOCH.0 + 1);
    let patient = ledger.with_timeout(WITHIN);
    patient.open(&place, later, crate::account::KEPT).await.unwrap().unwrap();
    assert_eq!(replica.ask_as::<Vec<String>>("of-servers", &["KEYS", "*"]).len(), 1);
}

#[tokio::test]
async fn a_sentinel_has_credentials_of_its_own_and_knows_its_masters() {
    let master = Server::start(&["--requirepass", "of-servers"]);
    let sentinel = sentinel(&master, "of-sentinels");
    let ledger = Connection::redis(&settings(&[&sentinel.endpoint()], "of-servers")).unwrap();
    let why = refuses(&ledger, &place("a"), "WRONGPASS").await;
    let asked = ": set ledger.redis.mode.sentinel.username and ledger.redis.mode.sentinel.password to a user that the \
                 server has";
    assert!(why.to_string().ends_with(asked), "{why}");

    let mut other = settings(&[&sentinel.endpoint()], "of-sentinels");
    if let RedisMode::Sentinel { master, .. } = &mut other.mode {
        *master = "caches".to_owned();
    }
    let ledger = Connection::redis(&other).unwrap();
    let why = refuses(&ledger, &place("a"), "caches").await;
    let asked = "it knows no master \"caches\": set ledger.redis.mode.sentinel.master to one it has";
    assert!(why.to_string().ends_with(asked), "{why}");
}
