//! A server that answers, and will not: the error says what to change.

use llm_config::{Credential, budget::Redis};
use llm_ledger_connection::{Connection, Kind};

use crate::account::{LIMIT, answers, begin, fails, place, refuses};
use crate::server::Server;

fn with(server: &Server, username: Option<&str>, password: Option<&str>) -> Redis {
    let password = password.map(|password| Credential::new(password.to_owned()));
    Redis { username: username.map(str::to_owned), password, ..server.settings() }
}

async fn refusal(settings: &Redis) -> String {
    let ledger = Connection::redis(settings).unwrap();
    fails(&ledger, &place("a"), Kind::Refused).await.to_string()
}

#[tokio::test]
async fn who_may_not_log_in_is_told_which_fields_to_set() {
    let server = Server::start(&["--requirepass", "secret"]);
    let endpoint = server.endpoint();
    let told = refusal(&with(&server, None, None)).await;
    let asked = ": set ledger.redis.password, and ledger.redis.username if it is not the default user's";
    assert!(told.starts_with(&format!("{endpoint}: NOAUTH ")) && told.ends_with(asked), "{told}");
    for (username, password) in [(None, "wrong"), (Some("nobody"), "secret")] {
        assert_eq!(
            refusal(&with(&server, username, Some(password))).await,
            format!(
                "{endpoint}: WRONGPASS invalid username-password pair or user is disabled: set \
                 ledger.redis.username and ledger.redis.password to a user that the server has"
            )
        );
    }
    let ledger = Connection::redis(&with(&server, None, Some("secret"))).unwrap();
    answers(&ledger, &place("a")).await;
}

#[tokio::test]
async fn a_replica_is_no_ledger_nor_is_a_master_that_becomes_one() {
    let master = Server::start(&[]);
    let replica = Server::start(&["--replicaof", &format!("127.0.0.1 {}", master.port)]);
    let asked = format!(
        "{}: it is a replica of 127.0.0.1:{}, and grants nothing: name the master, or the sentinels that know it",
        replica.endpoint(),
        master.port
    );
    assert_eq!(refusal(&replica.settings()).await, asked);

    replica.ask::<()>(&["REPLICAOF", "NO", "ONE"]);
    let ledger = Connection::redis(&replica.settings()).unwrap();
    begin(&ledger, &place("a"), LIMIT).await;
    replica.ask::<()>(&["REPLICAOF", "127.0.0.1", &master.port.to_string()]);
    let why = refuses(&ledger, &place("a"), "it is a replica of").await;
    assert_eq!(why.to_string(), asked);
    replica.ask::<()>(&["REPLICAOF", "NO", "ONE"]);
    answers(&ledger, &place("a")).await;
}

#[tokio::test]
async fn a_server_without_memory_says_so() {
    let server = Server::start(&["--maxmemory-policy", "noeviction"]);
    let ledger = Connection::redis(&server.settings()).unwrap();
    begin(&ledger, &place("a"), LIMIT).await;
    server.ask::<()>(&["CONFIG", "SET", "maxmemory", "1"]);
    let why = refuses(&ledger, &place("a"), ": OOM ").await.to_string();
    assert!(
        why.ends_with(": raise the server's maxmemory, and give the ledger a server of its own"),
        "{why}"
    );
    server.ask::<()>(&["CONFIG", "SET", "maxmemory", "0"]);
    answers(&ledger, &place("a")).await;
}

#[tokio::test]
async fn settings_that_cannot_be_meant_are_refused_at_once() {
    let endpoints = |endpoints: &[&str]| Redis {
        endpoints: endpoints.iter().map(ToString::to_string).collect(),
        ..Redis::default()
    };
    let one = endpoints(&["redis:6379"]);
    let cluster = llm_config::budget::RedisMode::Cluster;
    let tls = Some(llm_config::budget::RedisTls { ca: Some("none".to_owned()) });
    let wrong = [
        (endpoints(&[]), "ledger.redis.endpoints: must not be empty"),
        (
            endpoints(&["redis"]),
            "ledger.redis.endpoints: \"redis\" is not host:port; an IPv6 address is written as [::1]:6379",
        ),
        (
            endpoints(&["a:1", "b:1"]),
            "ledger.redis.endpoints: several are sentinels or members of a cluster: set ledger.redis.mode",
        ),
        (
            Redis { database: 1, mode: cluster, ..one.clone() },
            "ledger.redis.database: a cluster has database 0 alone",
        ),
        (
            Redis { username: Some("llm".to_owned()), ..one.clone() },
            "ledger.redis.username: set ledger.redis.password too",
        ),
        (Redis { tls, ..one }, "ledger.redis.tls.ca: there is no certificate of an authority to trust"),
    ];
    for (settings, asked) in wrong {
        assert_eq!(Connection::redis(&settings).err().as_deref(), Some(asked));
    }
}

#[test]
fn outside_of_a_runtime_nothing_can_be_connected_in_the_background() {
    let settings = Redis { endpoints: vec!["redis:6379".to_owned()], ..Redis::default() };
    assert_eq!(
        Connection::redis(&settings).err().as_deref(),
        Some("a ledger connects within a Tokio runtime")
    );
}
