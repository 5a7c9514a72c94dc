//! Keys: missing, created, changed, deleted, and never shown.

use crate::installation::{AT_ONCE, Installation, answers, completion, pool_with_key, route};
use harness::{RawUpstream, Step, answer, eventually, http};

#[tokio::test]
async fn a_secret_is_picked_up_as_it_comes_and_changes() {
    let installation = Installation::start().await;
    let operator = installation.operator(&[]).await;
    let proxy = installation.proxy("proxy-a", &[]).await;
    installation.ready(&[&proxy]).await;
    let upstream = RawUpstream::start([vec![Step::Send(answer(200, &completion("hello")))]]).await;
    installation.create_pool(&pool_with_key("pool", upstream.url(), &["large"])).await;
    installation.create_route(&route("chat", "pool")).await;

    let told = installation.pool_condition("pool", "ResolvedRefs", "False", "SecretNotFound").await;
    assert!(
        told.contains("there is no Secret `keys` in namespace `ai`: create it with the key `k`"),
        "{told}"
    );
    assert_eq!(installation.row("ppool", "pool").await[3], "0/1");
    installation.route_condition("chat", "ResolvedRefs", "False", "NoUsableProvider").await;
    answers(&proxy, "large", 503, AT_ONCE).await;

    let secret = |key: &str, value: &str| {
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: keys, namespace: ai}}\nstringData: {{{key}: {value}}}\n"
        )
    };
    installation.cluster.apply(&secret("other", "sk-other")).await;
    let told = eventually("the wrong key is told", AT_ONCE, async || {
        let told = installation.pool_condition("pool", "ResolvedRefs", "False", "SecretNotFound").await;
        if told.contains("has no key `k`") { Ok(told) } else { Err(told) }
    })
    .await;
    assert!(told.contains("its keys are: other"), "{told}");

    installation.cluster.apply(&secret("k", "sk-first")).await;
    answers(&proxy, "large", 200, AT_ONCE).await;
    assert!(upstream.requests().last().unwrap().contains("Bearer sk-first"));
    installation.pool_condition("pool", "ResolvedRefs", "True", "ResolvedRefs").await;
    installation.route_condition("chat", "Programmed", "True", "Programmed").await;

    installation.cluster.apply(&secret("k", "sk-second")).await;
    eventually("the new key is sent", AT_ONCE, async || {
        assert_eq!(
            http::post_json(&proxy.chat_url(), &crate::installation::asking("large")).await.status,
            200
        );
        let sent = upstream.requests().pop().unwrap();
        if sent.contains("Bearer sk-second") { Ok(()) } else { Err(sent) }
    })
    .await;

    installation.cluster.kubectl(&["delete", "secret", "keys", "-n", "ai"]).await;
    answers(&proxy, "large", 503, AT_ONCE).await;
    installation.pool_condition("pool", "ResolvedRefs", "False", "SecretNotFound").await;

    let shown = proxy.admin("/debug/config").await;
    for text in [operator.process.output(), proxy.process.output(), shown.text().to_owned()] {
        assert!(!text.contains("sk-first") && !text.contains("sk-second"), "{text}");
    }
    let status = installation.cluster.kubectl(&["get", "llm,configmaps", "-A", "-o", "yaml"]).await;
    assert!(!status.contains("sk-first") && !status.contains("sk-second"));
}
