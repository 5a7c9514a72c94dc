//! What a server that started again, became another's replica, or lost a key still grants: nothing, until it is begun anew.

use llm_ledger::account::{Beginning, Statement, Values};
use llm_ledger::script;
use llm_ledger::{Epoch, Holder};

use crate::server::Server;
use crate::{KEPT, begin, beginning, place, rolling};

fn said(seq: u64, drawn: u64, need: u64) -> Vec<String> {
    let (holder, epoch) = (Holder(1), Epoch(1));
    script::state(&Statement { holder, epoch, seq, drawn, spent: 0, want: 0, need }, None)
}

#[test]
fn a_server_that_has_started_again_grants_nothing_until_it_is_begun_anew() {
    let mut server = Server::start();
    let place = place("b");
    let mut redis = server.connection();
    assert_eq!(redis.ask(&place, &said(1, 0, 50)), ["closed"]);
    assert!(begin(&mut redis, &place, &beginning(1, 1_000, 200)));
    assert!(!begin(&mut redis, &place, &beginning(1, 1_000, 200)), "it has begun");

    // It remembers, and does not know whether that is all.
    server.restart(true);
    let mut redis = server.connection();
    assert_eq!(redis.fields(&place.key(), &["epoch"]), ["1"]);
    assert_eq!(redis.ask(&place, &said(1, 0, 50)), ["closed"]);
    assert_eq!(redis.totals(&place, None), None);
    assert!(begin(&mut redis, &place, &beginning(3, 1_000, 200)));
    assert_eq!(redis.ask(&place, &said(1, 0, 50)), ["moved", "3"]);

    server.restart(false);
    let mut redis = server.connection();
    assert_eq!(redis.ask(&place, &said(1, 0, 50)), ["closed"]);
    assert!(begin(&mut redis, &place, &beginning(4, 1_000, 200)));
}

/// Who opened it before it was lost may not know what was granted since.
#[test]
fn what_was_opened_before_a_loss_is_not_begun_after_it() {
    let mut server = Server::start();
    let place = place("b");
    let late = |opened_at| {
        let beginning = Beginning { opened_at, ..beginning(1, 1_000, 0) };
        script::begin(&beginning, KEPT, None).unwrap()
    };
    let mut redis = server.connection();
    assert_eq!(redis.ask(&place, &late(0)), ["0"], "nobody has opened it");
    let opened_at = redis.open(&place, Epoch(1), None).unwrap();
    assert_eq!(redis.open(&place, Epoch(1), None), Some(opened_at), "it is the same opening");
    server.restart(true);
    let mut redis = server.connection();
    assert_eq!(redis.ask(&place, &late(opened_at)), ["0"]);
    // The order to open it has come again, and does not make it good.
    assert!(redis.open(&place, Epoch(1), None).unwrap() > opened_at);
    assert_eq!(redis.ask(&place, &late(opened_at)), ["0"]);
    let opened_at = redis.open(&place, Epoch(1), None).unwrap();
    redis.flush();
    assert_eq!(redis.ask(&place, &late(opened_at)), ["0"]);
}

/// The first has granted what never reached the second. The second takes over, and the first is given back its own account
/// as the second remembers it. The process is the same, and so is the mark that it has left in the account.
#[test]
fn a_server_that_was_a_replica_in_between_does_not_take_the_others_memory_for_its_own() {
    let (first, second) = (Server::listening(), Server::listening());
    let place = place("b");
    let (mut one, mut two) = (first.connection(), second.connection());
    two.replicate(Some(&first));
    // A server that gets its first replica begins another lineage.
    one.set("here", "is", "one");
    two.await_field("here", "is", "one");
    assert!(begin(&mut one, &place, &beginning(1, 1_000, 0)));
    two.await_field(&place.key(), "epoch", "1");
    two.replicate(None);
    assert_eq!(one.ask(&place, &said(1, 0, 0))[0], "granted");
    assert_eq!(two.fields(&place.key(), &["h:1"]), [""], "the second has not heard of it");
    assert_eq!(two.ask(&place, &said(2, 0, 0)), ["closed"]);
    one.replicate(Some(&second));
    one.await_field(&place.key(), "h:1", "");
    one.replicate(None);
    assert_eq!(one.fields(&place.key(), &["epoch"]), ["1"]);
    assert_eq!(one.ask(&place, &said(3, 0, 0)), ["closed"]);
}

/// A value whose hash is deleted, or evicted, does not begin as if nobody had spent anything of it.
#[test]
fn a_value_that_was_lost_alone_stays_closed_until_all_begin_anew() {
    let server = Server::start();
    let mut redis = server.connection();
    let root = place("b");
    let value = root.of(&"a".into());
    let values = Some(Values { ceiling: 100, gone: 0, most: 10 });
    assert!(begin(&mut redis, &root, &Beginning { values, ..beginning(1, 1_000, 0) }));
    assert_eq!(redis.ask(&value, &said(1, 0, 50))[..2], ["granted", "50"]);
    redis.delete(&value.key());
    assert_eq!(redis.ask(&value, &said(2, 0, 50)), ["closed"]);
    assert_eq!(redis.totals(&value, None), None);
    let opened_at = redis.fields(&root.key(), &["opened_at"])[0].parse().unwrap();
    let by_name = Beginning { opened_at, ..beginning(1, 1_000, 0) };
    let by_name = script::begin(&by_name, KEPT, None).unwrap();
    assert_eq!(redis.ask(&value, &by_name), ["0"]);
    let values = Some(Values { ceiling: 100, gone: 100, most: 10 });
    assert!(begin(&mut redis, &root, &Beginning { values, ..beginning(2, 1_000, 0) }));
    assert_eq!(redis.ask(&value, &said(3, 50, 0)), ["moved", "2"]);
    assert_eq!(redis.totals(&value, None).unwrap().unclaimed, 100);
}

/// The hash of a value of a rolling limit goes when nothing of it counts any more. Until then it is missed.
#[test]
fn a_value_of_which_nothing_counts_any_more_begins_anew_and_one_that_was_lost_before_does_not() {
    let server = Server::start();
    let mut redis = server.connection();
    let root = rolling("b");
    let [a, b] = ["a", "b"].map(|value| root.of(&value.into()));
    let values = Some(Values { ceiling: 100, gone: 0, most: 1 });
    assert!(begin(&mut redis, &root, &Beginning { values, ..beginning(1, 1_000, 0) }));
    let begun_at: u64 = redis.fields(&root.key(), &["begun_at"])[0].parse().unwrap();
    let said = |holder, seconds: u64, need| {
        let (holder, epoch) = (Holder(holder), Epoch(1));
        let statement = Statement { holder, epoch, seq: 1, drawn: 0, spent: 0, want: 0, need };
        script::state(&statement, Some(begun_at + seconds * 1_000))
    };
    assert_eq!(redis.ask(&a, &said(1, 0, 100))[..2], ["granted", "100"]);
    assert_eq!(redis.ask(&b, &said(1, 0, 100)), ["full"]);
    let left = redis.left(&a.key());
    assert!((65_000..=130_000).contains(&left), "{left}");
    redis.delete(&a.key());
    assert_eq!(redis.ask(&a, &said(2, 64, 100)), ["closed"]);
    assert_eq!(redis.ask(&b, &said(1, 64, 100)), ["full"]);
    assert_eq!(redis.ask(&a, &said(2, 65, 100))[..2], ["granted", "100"]);
    assert_eq!(redis.ask(&b, &said(1, 65, 100)), ["full"]);
    redis.delete(&a.key());
    assert_eq!(redis.ask(&b, &said(1, 130, 100))[..2], ["granted", "100"], "it makes room");
    assert_eq!(redis.ask(&a, &said(3, 130, 100)), ["full"]);
}
