//! A cluster: each budget in its slot, which moves, and whose master is replaced.

use llm_config::budget::{Redis, RedisMode};
use llm_ledger::Epoch;
use llm_ledger::account::{Answer, Beginning, Statement, Values};
use llm_ledger_connection::{Connection, Kind};

use crate::account::{EPOCH, KEPT, LIMIT, answers, begin, beginning, fails, granted, place, refuses, says};
use crate::eventually::eventually;
use crate::ports::free_port;
use crate::server::{Server, WITHIN};

/// Three masters with a third of the slots each, and the replica of the first.
struct Cluster {
    members: Vec<Server>,
}

/// A member, and the port where the others speak to it.
fn member() -> (Server, String) {
    let bus = free_port().to_string();
    let settings = ["--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--cluster-port", &bus];
    (Server::start(&settings), bus)
}

impl Cluster {
    async fn start() -> Self {
        let (members, buses): (Vec<_>, Vec<_>) = (0..4).map(|_| member()).unzip();
        let first = members[0].port.to_string();
        let cluster = Self { members };
        for (server, slots) in
            cluster.members.iter().zip([["0", "5460"], ["5461", "10922"], ["10923", "16383"]])
        {
            server.ask::<()>(&["CLUSTER", "ADDSLOTSRANGE", slots[0], slots[1]]);
        }
        for server in &cluster.members[1..] {
            server.ask::<()>(&["CLUSTER", "MEET", "127.0.0.1", &first, &buses[0]]);
        }
        eventually("all know all", WITHIN, async || {
            let known: Vec<_> =
                cluster.members.iter().map(|server| field(server, "cluster_known_nodes")).collect();
            if known.iter().all(|known| known == "4") { Ok(()) } else { Err(format!("{known:?}")) }
        })
        .await;
        cluster.members[3].ask::<()>(&["CLUSTER", "REPLICATE", &id(&cluster.members[0])]);
        eventually("the cluster is well", WITHIN, async || {
            let states: Vec<_> =
                cluster.members.iter().map(|server| field(server, "cluster_state")).collect();
            let linked = cluster.members[3].info("master_link_status");
            if states.iter().all(|state| state == "ok") && linked == "up" {
                Ok(())
            } else {
                Err(format!("{states:?}"))
            }
        })
        .await;
        cluster
    }

    fn settings(&self) -> Redis {
        Redis { endpoints: vec![self.members[1].endpoint()], mode: RedisMode::Cluster, ..Redis::default() }
    }

    /// A budget whose slot is in this range of the slots.
    fn budget_of(&self, member: usize) -> String {
        let names = (0..).map(|number| format!("b{number}"));
        let mut owned = names.filter(|name| {
            let slot: u32 = self.members[0].ask(&["CLUSTER", "KEYSLOT", &format!("{{{name}}}")]);
            slot as usize / 5_461 == member
        });
        owned.next().unwrap()
    }
}

fn field(server: &Server, name: &str) -> String {
    let info: String = server.ask(&["CLUSTER", "INFO"]);
    let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_default().to_owned()
}

fn id(server: &Server) -> String {
    server.ask(&["CLUSTER", "MYID"])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_budget_is_found_where_its_slot_is_also_when_it_moves() {
    let cluster = Cluster::start().await;
    let ledger = Connection::redis(&cluster.settings()).unwrap().with_timeout(WITHIN);
    let places: Vec<_> = (0..3).map(|member| place(&cluster.budget_of(member))).collect();
    for place in &places {
        begin(&ledger, place, LIMIT).await;
    }
    let statements: Vec<_> = places.iter().map(|place| (place.clone(), says(1, 1, (0, 0), 10))).collect();
    let answers = ledger.states(&statements).await;
    assert!(answers.iter().all(|answer| granted(answer) == 10), "{answers:?}");
    for (member, place) in places.iter().enumerate() {
        let keys: Vec<String> = cluster.members[member].ask(&["KEYS", "*"]);
        assert_eq!(keys, [place.key()]);
    }

    // The keys of the first move to the second, and who asks for them is sent after them. All that a run names is there:
    // of those that are not, a server in the middle of a move does not say that they are nowhere.
    let (from, to) = (&cluster.members[0], &cluster.members[1]);
    let value = places[0].of(&"ann".into());
    let later = Epoch(EPOCH.0 + 1);
    let values = Some(Values { ceiling: 0, gone: 0, most: 9 });
    let opened_at = ledger.open(&places[0], later, KEPT).await.unwrap().unwrap();
    let beginning = Beginning { epoch: later, values, ..beginning(opened_at, LIMIT) };
    assert_eq!(ledger.begin(&places[0], &beginning, KEPT).await, Ok(true));
    let said = Statement { epoch: later, ..says(1, 1, (0, 0), 10) };
    assert_eq!(granted(&ledger.state(&value, &said).await), 0);
    let slot: u32 = from.ask(&["CLUSTER", "KEYSLOT", &places[0].key()]);
    let slot = slot.to_string();
    to.ask::<()>(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &id(from)]);
    from.ask::<()>(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &id(to)]);
    let (port, keys) = (to.port.to_string(), value.keys());
    let keys: Vec<_> = keys.iter().map(String::as_str).collect();
    from.ask::<()>(&[&["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"], &keys[..]].concat());
    // Another server, which has not been told what was gone.
    assert_eq!(ledger.state(&value, &said).await, Ok(Answer::Closed));
    assert!(!to.info("cmdstat_asking").is_empty());
    for server in [to, from] {
        server.ask::<()>(&["CLUSTER", "SETSLOT", &slot, "NODE", &id(to)]);
    }
    assert_eq!(ledger.state(&value, &said).await, Ok(Answer::Closed));
    let stayed = ledger.state(&places[2], &says(1, 2, (10, 0), 10)).await;
    assert_eq!(granted(&stayed), 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_is_killed_is_replaced_and_a_cluster_with_a_hole_says_so() {
    let mut cluster = Cluster::start().await;
    let ledger = Connection::redis(&cluster.settings()).unwrap();
    let (first, second) = (place(&cluster.budget_of(0)), place(&cluster.budget_of(1)));
    begin(&ledger, &first, LIMIT).await;
    begin(&ledger, &second, LIMIT).await;
    cluster.members[0].kill();
    fails(&ledger, &first, Kind::Disconnected).await;
    answers(&ledger, &first).await;
    assert_eq!(ledger.with_timeout(WITHIN).state(&first, &says(1, 9, (0, 0), 10)).await, Ok(Answer::Closed));
    // Nobody replaces this one.
    cluster.members[2].kill();
    let why = refuses(&ledger, &second, "CLUSTERDOWN").await;
    let advice = ": a part of the cluster has no master; CLUSTER INFO says which";
    assert!(why.to_string().ends_with(advice), "{why}");
}

#[tokio::test]
async fn a_server_of_no_cluster_says_so() {
    let server = Server::start(&[]);
    let settings = Redis { mode: RedisMode::Cluster, ..server.settings() };
    let ledger = Connection::redis(&settings).unwrap();
    let why = refuses(&ledger, &place("a"), "cluster support disabled").await;
    assert_eq!(why.kind, Kind::Refused);
}
