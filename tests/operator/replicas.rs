//! Two operators: both serve, one writes, and one may die.

use crate::installation::{Installation, Operator, WITHIN, answers, completion, pool, route};
use harness::{RawUpstream, Step, answer, eventually, free_port};
use serde_json::json;

async fn leads(operator: &Operator) -> bool {
    operator.metric("llm_operator_leader").await > 0.0
}

#[tokio::test]
async fn the_leader_writes_what_the_proxies_of_both_hold() {
    let installation = Installation::start().await;
    let (first, second) = (free_port(), free_port());
    let one = installation.operator_at(first, "one", &[]).await;
    eventually("one leads", WITHIN, async || if leads(&one).await { Ok(()) } else { Err(String::new()) })
        .await;
    let two = installation.operator_at(second, "two", &[]).await;
    installation.mount_bundle().await;
    let a = installation.proxy_at(first, "proxy-a", &[]).await;
    let b = installation.proxy_at(second, "proxy-b", &[]).await;
    installation.ready(&[&a, &b]).await;
    let upstream = RawUpstream::start([vec![Step::Send(answer(200, &completion("hello")))]]).await;
    installation.create_pool(&pool("pool", upstream.url(), &["large"])).await;
    installation.create_route(&route("chat", "pool")).await;
    let both = async |share: &str| {
        eventually(&format!("the status says {share}"), WITHIN, async || {
            let row = installation.row("llmroutes", "chat").await;
            if row.get(3).is_some_and(|cell| cell == share) { Ok(()) } else { Err(format!("{row:?}")) }
        })
        .await;
    };
    both("2/2").await;
    answers(&b, "large", 200, WITHIN).await;
    assert_eq!(two.metric("llm_operator_status_writes_total").await, 0.0, "followers write no status");
    assert!(!leads(&two).await);

    // The leader dies without a word.
    one.process.kill();
    eventually(
        "two leads",
        WITHIN,
        async || if leads(&two).await { Ok(()) } else { Err(two.process.output()) },
    )
    .await;
    let mut changed = route("second", "pool");
    changed["spec"]["rules"][0]["matches"] = json!([{"models": ["alias"]}]);
    installation.create_route(&changed).await;
    answers(&b, "alias", 200, WITHIN).await;
    installation.route_condition("second", "Programmed", "True", "Programmed").await;
    both("1/1").await;
    answers(&a, "large", 200, WITHIN).await;

    // It comes back as a follower, and its proxy is counted again.
    let one = installation.operator_at(first, "one", &[]).await;
    both("2/2").await;
    answers(&a, "alias", 200, WITHIN).await;
    assert!(leads(&two).await && !leads(&one).await);

    // A leader that ends in good order gives the Lease back at once.
    two.process.terminate();
    assert!(two.process.exited(WITHIN).await.success());
    eventually("one leads", WITHIN, async || if leads(&one).await { Ok(()) } else { Err(String::new()) })
        .await;
}
