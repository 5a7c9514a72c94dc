//! The script in a real Redis: it does what the accounts do, whatever it is told; and a server that does not know whether
//! it remembers all says so.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

mod lives;
mod server;
mod twins;

use llm_ledger::account::{Beginning, Checkpoint, Statement};
use llm_ledger::place::Place;
use llm_ledger::script;
use llm_ledger::{Amount, Epoch, Holder};
use server::{Connection, Server};

const KEPT: u64 = 3_600_000;

/// The shared account of a limit.
fn place(budget: &str) -> Place {
    Place { budget: budget.into(), limit: "daily-usd".parse().unwrap(), start: 86_400, value: None }
}

/// One of a minute, whose money comes back after 65 seconds.
fn rolling(budget: &str) -> Place {
    Place { limit: "rolling60-usd".parse().unwrap(), start: 0, ..place(budget) }
}

fn beginning(epoch: u64, limit: Amount, gone: Amount) -> Beginning {
    Beginning { epoch: Epoch(epoch), opened_at: 0, limit, revision: 1, strict: true, gone, values: None }
}

/// Opens and begins; whether it did.
fn begin(redis: &mut Connection, place: &Place, beginning: &Beginning) -> bool {
    let Some(opened_at) = redis.open(place, beginning.epoch, None) else { return false };
    let beginning = Beginning { opened_at, ..*beginning };
    redis.ask(place, &script::begin(&beginning, KEPT, None).unwrap()) == ["1"]
}

/// The largest amounts that there are, to the unit.
#[test]
fn no_unit_is_lost_of_large_amounts() {
    let server = Server::start();
    let mut redis = server.connection();
    let (limit, epoch, place) = (script::LARGEST, Epoch(u64::from(u32::MAX)), place("b"));
    let beginning = beginning(epoch.0, limit, 0);
    assert!(begin(&mut redis, &place, &beginning));
    let checkpoint = Checkpoint { epoch, revision: 2, limit, strict: true, ceiling: limit, values: None };
    let told = redis.ask(&place, &script::secure(&checkpoint, None).unwrap());
    assert_eq!(told, ["secured", &limit.to_string()]);
    assert_eq!(script::begin(&Beginning { limit: limit + 1, ..beginning }, KEPT, None), None);
    for values in [None, Some((limit + 1, 1))] {
        let ceiling = if values.is_none() { limit + 1 } else { limit };
        assert_eq!(script::secure(&Checkpoint { ceiling, values, ..checkpoint }, None), None);
    }
    let mut statement =
        Statement { holder: Holder(u64::MAX), epoch, seq: 1, drawn: 0, spent: 0, want: 0, need: limit - 1 };
    assert_eq!(redis.ask(&place, &script::state(&statement, None))[..2], ["granted", "9007199254740990"]);
    (statement.seq, statement.drawn, statement.spent, statement.need) = (2, limit - 1, limit - 2, 1);
    assert_eq!(redis.ask(&place, &script::state(&statement, None))[..2], ["granted", "1"]);
    let totals = redis.totals(&place, None).unwrap();
    assert_eq!((totals.spent, totals.held, totals.free), (limit - 2, 2, 0));
}

/// What is never asked for again goes by itself; what is asked for stays as long as what it hangs on.
#[test]
fn all_keys_of_a_window_go_with_it() {
    let server = Server::start();
    let mut redis = server.connection();
    for root in [place("b"), rolling("b")] {
        let values = Some(llm_ledger::account::Values { ceiling: 1, gone: 0, most: 10 });
        assert!(begin(&mut redis, &root, &Beginning { values, ..beginning(1, 100, 0) }));
        let statement =
            Statement { holder: Holder(1), epoch: Epoch(1), seq: 1, drawn: 0, spent: 0, want: 0, need: 5 };
        let place = root.of(&"a".into());
        redis.ask(&place, &script::state(&statement, None));
        for key in place.keys() {
            let left = redis.left(&key);
            assert!((1..=KEPT).contains(&left), "{key}: {left}");
        }
    }
}
