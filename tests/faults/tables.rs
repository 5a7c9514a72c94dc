//! The run of both tables, which are printed, and kept in `target/faults.md`.

use crate::{
    cells::meet,
    chaos,
    matrix::Faults,
    providers::{FIRST_TOKEN, IDLE, REQUEST},
};
use harness::workspace;

#[tokio::test]
async fn every_fault_comes_to_what_the_table_says() {
    let sockets = Faults::start().await;
    let (_aimock, chaos) = chaos::start().await;
    let (by_socket, by_chaos) = tokio::join!(meet(&sockets.rows), meet(&chaos));
    let report = format!(
        "What a client gets of a provider that fails, with requestMs {}, firstTokenMs {}, idleMs {}, 2 attempts:\n\n\
         {}\nThe same, of the chaos that aimock makes:\n\n{}",
        REQUEST.as_millis(),
        FIRST_TOKEN.as_millis(),
        IDLE.as_millis(),
        by_socket.markdown,
        by_chaos.markdown,
    );
    println!("{report}");
    std::fs::write(workspace().join("target/faults.md"), &report).unwrap();
    let surprises = [by_socket.surprises, by_chaos.surprises].concat();
    assert!(surprises.is_empty(), "{} cells:\n{}", surprises.len(), surprises.join("\n"));
}
