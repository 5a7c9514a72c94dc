//! One server that is well.

use std::slice::from_ref;

use llm_ledger::account::{Answer, Left, Short, Values};
use llm_ledger_connection::{Connection, Kind, Operations};

use crate::account::{EPOCH, KEPT, LIMIT, begin, beginning, checkpoint, granted, place, says};
use crate::eventually::eventually;
use crate::server::{Server, WITHIN};

#[tokio::test]
async fn an_account_is_begun_and_grants_and_tells_how_it_stands() {
    let server = Server::start(&[]);
    let ledger = Connection::redis(&server.settings()).unwrap();
    let place = place("a");
    let patient = ledger.with_timeout(WITHIN);
    assert_eq!(patient.state(&place, &says(1, 1, (0, 0), 10)).await, Ok(Answer::Closed));
    assert_eq!(patient.totals(from_ref(&place)).await, [Ok(None)]);
    begin(&ledger, &place, LIMIT).await;
    let left = Left { limit: LIMIT, free: 990, spent: 0, short: None };
    let answer = patient.state(&place, &says(1, 2, (0, 0), 10)).await;
    assert_eq!(answer, Ok(Answer::Granted { seq: 2, amount: 10, recall: false, left }));
    // The same again is no second grant.
    assert_eq!(patient.state(&place, &says(1, 2, (0, 0), 10)).await, Ok(Answer::Stale));
    let totals = patient.totals(from_ref(&place)).await.remove(0).unwrap().unwrap();
    assert_eq!((totals.limit, totals.held, totals.free, totals.epoch), (LIMIT, 10, 990, EPOCH));
    assert_eq!(patient.open(&place, EPOCH, KEPT).await, Ok(None));
    assert_eq!(patient.begin(&place, &beginning(0, LIMIT), KEPT).await, Ok(false));
    let counted = Operations { state: 3, open: 2, begin: 2, secure: 1, totals: 2, ..Operations::default() };
    assert_eq!(patient.operations(), counted);
    assert!(ledger.is_reachable());
}

#[tokio::test]
async fn values_have_accounts_of_their_own_up_to_as_many_as_may() {
    let server = Server::start(&[]);
    let ledger = Connection::redis(&server.settings()).unwrap().with_timeout(WITHIN);
    let root = place("a");
    let opened_at = ledger.open(&root, EPOCH, KEPT).await.unwrap().unwrap();
    let values = Some(Values { ceiling: LIMIT, gone: 0, most: 2 });
    let begun = llm_ledger::account::Beginning { values, ..beginning(opened_at, LIMIT) };
    assert_eq!(ledger.begin(&root, &begun, KEPT).await, Ok(true));
    let spent = [("ann", 30), ("bob", 50)];
    let statements: Vec<_> =
        spent.iter().map(|(value, spent)| (root.of(&(*value).into()), says(1, 1, (0, *spent), 10))).collect();
    let answers = ledger.states(&statements).await;
    assert!(answers.iter().all(|answer| granted(answer) == 10), "{answers:?}");
    assert_eq!(ledger.state(&root.of(&"cem".into()), &says(1, 1, (0, 0), 10)).await, Ok(Answer::Full));
    let values = ledger.values(&root, 1).await.unwrap();
    assert_eq!((values.count, values.spent), (2, vec![("bob".into(), 50)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_connection_carries_all_and_many_statements_cost_one_round_trip() {
    let server = Server::start(&[]);
    let ledger = Connection::redis(&server.settings()).unwrap().with_timeout(WITHIN);
    let places: Vec<_> = (0..40).map(|number| place(&format!("b{number}"))).collect();
    for place in &places {
        begin(&ledger, place, LIMIT).await;
    }
    let statements: Vec<_> = places.iter().map(|place| (place.clone(), says(1, 1, (0, 0), 10))).collect();
    let reads = || server.info("total_reads_processed").parse::<u64>().unwrap();
    let before = reads();
    let answers = ledger.states(&statements).await;
    let reads = reads() - before;
    assert!(answers.iter().all(|answer| granted(answer) == 10), "{answers:?}");
    // That of the one who asks is counted too, and a pipeline may come in pieces.
    assert!(reads <= 10, "{reads} reads for 40 statements");
    let totals = ledger.totals(&places).await;
    assert!(
        totals.iter().all(|totals| matches!(totals, Ok(Some(totals)) if totals.held == 10)),
        "{totals:?}"
    );
    let waiting = places.iter().map(|place| {
        let (ledger, place) = (ledger.clone(), place.clone());
        tokio::spawn(async move { ledger.state(&place, &says(2, 1, (0, 0), 5)).await })
    });
    for answer in waiting.collect::<Vec<_>>() {
        assert_eq!(granted(&answer.await.unwrap()), 5);
    }
    eventually("only the one that asks this is connected besides", WITHIN, async || {
        let clients = server.info("connected_clients");
        if clients == "2" { Ok(()) } else { Err(clients) }
    })
    .await;
}

#[tokio::test]
async fn a_server_that_has_forgotten_the_script_is_given_it_again() {
    let server = Server::start(&[]);
    let ledger = Connection::redis(&server.settings()).unwrap().with_timeout(WITHIN);
    let (a, b) = (place("a"), place("b"));
    begin(&ledger, &a, LIMIT).await;
    server.ask::<()>(&["SCRIPT", "FLUSH"]);
    let statements = [(a.clone(), says(1, 1, (0, 0), 10)), (b, says(1, 1, (0, 0), 10))];
    let answers = ledger.states(&statements).await;
    assert_eq!((granted(&answers[0]), &answers[1]), (10, &Ok(Answer::Closed)));
    // Each once: nothing was run twice on the way.
    assert_eq!(granted(&ledger.state(&a, &says(1, 2, (10, 0), LIMIT - 10)).await), LIMIT - 10);
}

#[tokio::test]
async fn an_amount_that_redis_cannot_count_is_refused_and_not_rounded() {
    let server = Server::start(&[]);
    let ledger = Connection::redis(&server.settings()).unwrap().with_timeout(WITHIN);
    let why = ledger.secure(&place("a"), &checkpoint(1 << 53)).await.unwrap_err();
    assert_eq!(why.kind, Kind::Refused);
    assert_eq!(
        why.to_string(),
        "llm:{a}:daily-usd:1764115200: an amount is above 9007199254740991, the largest that Redis counts exactly"
    );
}

#[tokio::test]
async fn a_recall_is_heard_also_on_a_connection_that_was_made_again() {
    let server = Server::start(&[]);
    let waiting = Connection::redis(&server.settings()).unwrap().with_timeout(WITHIN);
    let idle = Connection::redis(&server.settings()).unwrap().with_timeout(WITHIN);
    let mut heard = idle.recalls();
    for (round, budget) in ["a", "b"].into_iter().enumerate() {
        eventually("both listen", WITHIN, async || {
            let clients: String = server.ask(&["CLIENT", "LIST"]);
            let listen = clients.matches(" psub=1").count() == 2;
            // They know later than the server.
            let known = waiting.is_reachable() && idle.is_reachable();
            if listen && known { Ok(()) } else { Err(clients) }
        })
        .await;
        let place = place(budget);
        begin(&waiting, &place, LIMIT).await;
        assert_eq!(granted(&idle.state(&place, &says(1, 1, (0, 0), LIMIT)).await), LIMIT);
        let answer = waiting.state(&place, &says(2, 1, (0, 0), 10)).await;
        assert!(
            matches!(
                answer,
                Ok(Answer::Granted { amount: 0, left: Left { short: Some(Short::Held), .. }, .. })
            ),
            "{answer:?}"
        );
        let key = tokio::time::timeout(WITHIN, heard.recv()).await.unwrap().unwrap();
        assert_eq!(&*key, place.key());
        if round == 0 {
            // All but the one that says so: none is left that could hear.
            server.ask::<u32>(&["CLIENT", "KILL", "TYPE", "pubsub"]);
            server.ask::<u32>(&["CLIENT", "KILL", "TYPE", "normal"]);
        }
    }
}
