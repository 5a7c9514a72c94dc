//! The script in a real Redis does what the account does, whatever it is told; and a server that has started again says
//! so, whether it remembers or not.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

mod server;

use llm_ledger::account::{Account, Answer, Beginning, Statement};
use llm_ledger::script;
use llm_ledger::{Epoch, Holder};
use server::Server;

const KEPT: u64 = 3_600_000;

#[test]
fn the_script_does_what_the_account_does() {
    let server = Server::start();
    let mut redis = server.connection();
    for seed in 0..150 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let key = format!("{{budget}}:{seed}");
        let mut account = None;
        let (limit, mut now) = (rng.u64(100..10_000), 1_000_000);
        let mut last = [(0, 0, 0); 4];
        for step in 0..80 {
            now += rng.u64(..1_500);
            match rng.u8(..12) {
                0 => {
                    let (epoch, ceiling) = (Epoch(seed * 1_000 + step + 1), rng.u64(..limit));
                    let strict = rng.bool();
                    let beginning = Beginning { epoch, limit, revision: 1, strict, gone: ceiling };
                    let begun = Account::begin(&mut account, beginning, now);
                    let told = redis.ask(&key, &script::begin(&beginning, KEPT, Some(now)).unwrap());
                    assert_eq!(told, [u8::from(begun).to_string()], "seed {seed}");
                }
                1 => {
                    let (limit, ceiling) = ((rng.u64(100..10_000), rng.u64(..9)), rng.u64(..10_000));
                    let now_or_never = account.as_ref().map_or(Epoch(0), Account::epoch);
                    let epoch = if rng.u8(..5) > 0 { now_or_never } else { Epoch(rng.u64(..3)) };
                    if let Some(account) = &mut account {
                        account.secure(epoch, limit, ceiling, now);
                    }
                    redis.ask(&key, &script::secure(epoch, limit, ceiling, Some(now)).unwrap());
                }
                _ => {
                    let holder = rng.usize(..last.len());
                    let (seq, drawn, spent) = &mut last[holder];
                    // Late, doubled, and honest ones; some give back, some have run past what they had.
                    *seq = if rng.u8(..6) == 0 { *seq } else { *seq + 1 };
                    let more = rng.u64(..3);
                    *drawn = rng.u64(*drawn / 2..=*drawn + more);
                    *spent += rng.u64(..=drawn.saturating_sub(*spent) + 1);
                    let need = if rng.bool() { rng.u64(..300) } else { 0 };
                    let epoch = match &account {
                        Some(account) if rng.u8(..10) > 0 => account.epoch(),
                        _ => Epoch(rng.u64(..3)),
                    };
                    let statement = Statement {
                        holder: Holder(holder as u64),
                        epoch,
                        seq: *seq,
                        drawn: *drawn,
                        spent: *spent,
                        want: rng.u64(..500),
                        need,
                    };
                    let wanted = match &mut account {
                        Some(account) => account.state(&statement, now),
                        None => Answer::Closed,
                    };
                    let told = redis.ask(&key, &script::state(&statement, Some(now)));
                    let words: Vec<&str> = told.iter().map(String::as_str).collect();
                    let answer = script::answer(&words, *seq);
                    assert_eq!(answer, Some(wanted), "seed {seed}, step {step}: {statement:?}: {told:?}");
                    if let Answer::Granted { amount, .. } = wanted
                        && rng.u8(..8) > 0
                    {
                        *drawn += amount;
                    }
                }
            }
            if let Some(account) = &account {
                let totals = account.totals();
                let fields = redis.fields(&key, &["committed", "unclaimed", "short", "limit"]);
                let wanted = [account.committed(), totals.unclaimed, totals.short_of_ceiling, totals.limit];
                assert_eq!(fields, wanted.map(|number| number.to_string()), "seed {seed}, step {step}");
            }
        }
    }
}

/// The largest amounts that there are, to the unit.
#[test]
fn no_unit_is_lost_of_large_amounts() {
    let server = Server::start();
    let mut redis = server.connection();
    let (limit, epoch) = (script::LARGEST, Epoch(u64::from(u32::MAX)));
    let beginning = Beginning { epoch, limit, revision: 1, strict: true, gone: 0 };
    redis.ask("{b}", &script::begin(&beginning, KEPT, None).unwrap());
    redis.ask("{b}", &script::secure(epoch, (limit, 1), limit, None).unwrap());
    assert_eq!(script::begin(&Beginning { limit: limit + 1, ..beginning }, KEPT, None), None);
    assert_eq!(script::secure(epoch, (limit, 1), limit + 1, None), None);
    let mut statement =
        Statement { holder: Holder(u64::MAX), epoch, seq: 1, drawn: 0, spent: 0, want: 0, need: limit - 1 };
    assert_eq!(redis.ask("{b}", &script::state(&statement, None)), ["granted", "9007199254740990", "0"]);
    (statement.seq, statement.drawn, statement.need) = (2, limit - 1, 1);
    assert_eq!(redis.ask("{b}", &script::state(&statement, None)), ["granted", "1", "0"]);
    assert_eq!(redis.fields("{b}", &["committed"]), [limit.to_string()]);
}

#[test]
fn a_server_that_has_started_again_grants_nothing_until_it_is_begun_anew() {
    let mut server = Server::start();
    let begin = |epoch| {
        let epoch = Epoch(epoch);
        let beginning = Beginning { epoch, limit: 1_000, revision: 1, strict: true, gone: 200 };
        script::begin(&beginning, KEPT, None).unwrap()
    };
    let statement =
        Statement { holder: Holder(1), epoch: Epoch(1), seq: 1, drawn: 0, spent: 0, want: 50, need: 50 };
    let said = script::state(&statement, None);
    assert_eq!(server.connection().ask("{b}", &said), ["closed"]);
    assert_eq!(server.connection().ask("{b}", &begin(1)), ["1"]);
    assert_eq!(server.connection().ask("{b}", &begin(2)), ["0"], "it has begun");

    // It remembers, and does not know whether that is all.
    server.restart(true);
    assert_eq!(server.connection().fields("{b}", &["epoch"]), ["1"]);
    assert_eq!(server.connection().ask("{b}", &said), ["closed"]);
    assert_eq!(server.connection().ask("{b}", &begin(3)), ["1"]);
    assert_eq!(server.connection().ask("{b}", &said), ["moved", "3"]);

    server.restart(false);
    assert_eq!(server.connection().ask("{b}", &said), ["closed"]);
    assert_eq!(server.connection().ask("{b}", &begin(4)), ["1"]);
}
