//! A ledger of one process, in a folder: what is granted stays granted, however the process ends.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::{env, fs};

use llm_ledger::account::Answer;
use llm_ledger::accounts::Accounts;
use llm_ledger::{Amount, Epoch};
use llm_ledger_connection::{Connection, Kind};

use crate::account::{EPOCH, KEPT, LIMIT, begin, beginning, granted, place, says};
use crate::eventually::eventually;
use crate::server::{WITHIN, folder};

/// What the child does, and where.
const TASK: &str = "LLM_LEDGER_TASK";
const FOLDER: &str = "LLM_LEDGER_FOLDER";

/// This program again, as another process that does `task`. It runs the test of that name, and nothing else.
fn child(task: &str, folder: &Path, limits: &str) -> Child {
    let program = env::current_exe().unwrap();
    Command::new("bash")
        .args(["-c", &format!("{limits} exec \"$0\" \"$@\"")])
        .arg(program)
        .args(["--exact", "embedded::the_child_of_a_test_does_its_task", "--nocapture"])
        .env(TASK, task)
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Does nothing but in the child of another test.
#[tokio::test]
async fn the_child_of_a_test_does_its_task() {
    let (Ok(task), Ok(folder)) = (env::var(TASK), env::var(FOLDER)) else { return };
    let ledger = Connection::embedded(Some(Path::new(&folder))).unwrap().with_timeout(WITHIN);
    match task.as_str() {
        "hold" => {
            println!("\nheld");
            std::future::pending::<()>().await;
        }
        // Draws one after the other, and says what it has been answered.
        "draw" => {
            let (holder, mut drawn) = (fastrand::u64(1..), 0);
            for seq in 1.. {
                drawn += granted(&ledger.state(&place("a"), &says(holder, seq, (drawn, 0), 1)).await);
                println!("\ngranted {drawn}");
            }
        }
        // Many draw, each for itself: there is more to keep each time.
        _ => {
            let drawn = grow(&ledger, 0).await;
            let more = eventually("there is room", WITHIN, async || {
                let answer = ledger.state(&place("a"), &says(1_000_000, fastrand::u64(1..), (0, 0), 1)).await;
                answer.map(|answer| granted(&Ok(answer))).map_err(|why| why.to_string())
            });
            println!("\ngranted {}", drawn + more.await);
        }
    }
}

/// Until there is no room. Gives what was granted until then.
async fn grow(ledger: &Connection, mut drawn: Amount) -> Amount {
    loop {
        let holders = drawn + 1..=drawn + 500;
        let statements: Vec<_> = holders.map(|holder| (place("a"), says(holder, 1, (0, 0), 1))).collect();
        let answers = ledger.states(&statements).await;
        if let Some(Err(why)) = answers.iter().find(|answer| answer.is_err()) {
            assert!(!ledger.is_reachable() && why.kind == Kind::Refused, "{why}");
            println!("\nrefused {why}");
            return drawn;
        }
        drawn += answers.iter().map(granted).sum::<Amount>();
    }
}

fn open(folder: &Path) -> Connection {
    Connection::embedded(Some(folder)).unwrap().with_timeout(WITHIN)
}

async fn held(ledger: &Connection) -> (Amount, Amount) {
    let totals = ledger.totals(&[place("a")]).await.remove(0).unwrap().unwrap();
    (totals.held + totals.spent, totals.free)
}

#[tokio::test]
async fn in_memory_it_does_what_redis_does() {
    let ledger = Connection::embedded(None).unwrap().with_timeout(WITHIN);
    let mut heard = ledger.recalls();
    assert_eq!(ledger.state(&place("a"), &says(1, 1, (0, 0), 10)).await, Ok(Answer::Closed));
    begin(&ledger, &place("a"), LIMIT).await;
    assert_eq!(granted(&ledger.state(&place("a"), &says(1, 1, (0, 0), LIMIT)).await), LIMIT);
    let answers = ledger.states(&[(place("a"), says(2, 1, (0, 0), 10))]).await;
    assert_eq!(granted(&answers[0]), 0);
    assert_eq!(*heard.recv().await.unwrap(), *place("a").key());
    assert_eq!(ledger.operations().state, 3);
}

#[tokio::test]
async fn what_was_granted_stays_gone_when_the_process_is_killed_at_any_moment() {
    let folder = folder();
    let limit = 1_000_000;
    let ledger = open(&folder);
    begin(&ledger, &place("a"), limit).await;
    drop(ledger);
    let mut gone = 0;
    for round in 0..8 {
        let mut child = child("draw", &folder, "");
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut told = 0;
        for line in lines {
            if let Some(drawn) = line.strip_prefix("granted ") {
                told = drawn.parse().unwrap();
                if told == 1 + round * 7 {
                    // In the middle of what it does next.
                    child.kill().unwrap();
                }
            }
        }
        child.wait().unwrap();
        let ledger = open(&folder);
        let (held, free) = held(&ledger).await;
        // One may have been granted that nobody was told of.
        assert!(
            (gone + told..=gone + told + 1).contains(&held),
            "round {round}: {held}, told {told} after {gone}"
        );
        assert_eq!(held + free, limit);
        gone = held;
    }
    fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn a_process_that_ends_in_order_leaves_behind_what_it_has_spent_and_nothing_else() {
    let folder = folder();
    let ledger = open(&folder);
    begin(&ledger, &place("a"), LIMIT).await;
    assert_eq!(granted(&ledger.state(&place("a"), &says(1, 1, (0, 0), 100)).await), 100);
    ledger.state(&place("a"), &says(1, 2, (30, 30), 0)).await.unwrap();
    ledger.flush().await.unwrap();
    drop(ledger);
    let ledger = open(&folder);
    assert_eq!(held(&ledger).await, (30, LIMIT - 30));
    // It goes on: nobody needs to begin it, or can.
    assert_eq!(ledger.open(&place("a"), EPOCH, KEPT).await, Ok(None));
    assert_eq!(granted(&ledger.state(&place("a"), &says(2, 1, (0, 0), LIMIT - 30)).await), LIMIT - 30);
    fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn a_directory_is_one_process_s_and_of_one_version_and_can_be_written() {
    let folder = folder();
    let file = folder.join("ledger.redb");
    let mut child = child("hold", &folder, "");
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line == "held"));
    let told = Connection::embedded(Some(&folder)).err().unwrap();
    let shown = file.display();
    assert_eq!(told, format!("{shown}: another process has it: give each process a directory of its own"));
    child.kill().unwrap();
    child.wait().unwrap();
    drop(open(&folder));

    fs::write(&file, "no ledger").unwrap();
    let told = Connection::embedded(Some(&folder)).err().unwrap();
    assert!(told.starts_with(&format!("{shown}: ")), "{told}");
    let told = Connection::embedded(Some(&file)).err().unwrap();
    assert_eq!(
        told,
        format!("{shown}: File exists (os error 17): name a directory that this process may write")
    );
    let told = Connection::embedded(Some(Path::new("/proc/ledger"))).err().unwrap();
    assert!(told.ends_with(": name a directory that this process may write"), "{told}");
    fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn without_room_on_the_disk_nothing_is_granted_until_there_is() {
    let folder = folder();
    let ledger = open(&folder);
    begin(&ledger, &place("a"), 1_000_000).await;
    drop(ledger);
    let file = folder.join("ledger.redb");
    // The file may not grow.
    let size = fs::metadata(&file).unwrap().len().div_ceil(1_024);
    let mut child = child("grow", &folder, &format!("trap '' XFSZ; ulimit -Sf {size};"));
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let refused = lines.find(|line| line.starts_with("refused ")).unwrap();
    assert_eq!(
        refused,
        format!(
            "refused {}: I/O error: File too large (os error 27): nothing is granted until it can be written",
            file.display()
        )
    );
    let pid = child.id().to_string();
    assert!(Command::new("prlimit").args(["--fsize=unlimited", "--pid", &pid]).status().unwrap().success());
    let told: Amount = lines.find_map(|line| line.strip_prefix("granted ")?.parse().ok()).unwrap();
    child.wait().unwrap();
    assert_eq!(held(&open(&folder)).await.0, told);
    fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn windows_that_are_over_are_forgotten() {
    let folder = folder();
    let ledger = open(&folder);
    for number in 0..500 {
        let over = place(&format!("over-{number}"));
        ledger.open(&over, EPOCH, std::time::Duration::from_millis(1)).await.unwrap().unwrap();
    }
    begin(&ledger, &place("a"), LIMIT).await;
    drop(ledger);
    let ledger = open(&folder);
    assert_eq!(ledger.begin(&place("over-1"), &beginning(0, LIMIT), KEPT).await, Ok(false), "it is not open");
    assert_eq!(held(&ledger).await, (0, LIMIT));
    fs::remove_dir_all(folder).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_who_ask_at_once_wait_for_one_commit() {
    let folder = folder();
    let ledger = open(&folder);
    begin(&ledger, &place("a"), 1_000_000).await;
    let asked: Vec<_> = (1..=200)
        .map(|holder| {
            let ledger = ledger.clone();
            tokio::spawn(async move { ledger.state(&place("a"), &says(holder, 1, (0, 0), 5)).await })
        })
        .collect();
    for answer in asked {
        assert_eq!(granted(&answer.await.unwrap()), 5);
    }
    drop(ledger);
    assert_eq!(held(&open(&folder)).await.0, 1_000);
    fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn a_ledger_that_has_gone_on_answers_no_other_epoch() {
    let ledger = Connection::embedded(None).unwrap().with_timeout(WITHIN);
    begin(&ledger, &place("a"), LIMIT).await;
    let before = llm_ledger::account::Statement { epoch: Epoch(1), ..says(1, 1, (0, 0), 1) };
    assert_eq!(ledger.state(&place("a"), &before).await, Ok(Answer::Moved(EPOCH)));
}

/// As it was written before entries had times.
const OLD: &str = r#"{
    "place": {"budget": "a", "limit": "daily-usd", "start": 1764115200, "value": null},
    "kept": {"Root": {"opening": null, "opened_at": 5, "kept_until": 99, "begun": {
        "account": {
            "epoch": 7, "revision": 2, "ceiling": 1000, "secured_at": 6, "unclaimed": 3,
            "entries": {"1": {"seq": 4, "drawn": 10, "spent": 2}}, "committed": 13, "spent": 2, "recall": null,
            "short_of_ceiling": 0
        },
        "terms": {"limit": 1000, "strict": true, "ceiling": 0, "secured_at": 6}, "value_gone": 0, "most": 0
    }}}
}"#;

#[test]
fn what_an_earlier_version_has_kept_is_read() {
    let mut accounts = Accounts::restored(vec![serde_json::from_str(OLD).unwrap()]);
    accounts.bury();
    let totals = accounts.totals(&place("a"), 7).unwrap();
    assert_eq!((totals.epoch, totals.spent, totals.held, totals.unclaimed), (EPOCH, 2, 8, 3));
    assert!(accounts.is_balanced());
}
