//! The life of a release: installed with nothing but a key, called, upgraded, rolled back, removed.

use crate::release::{Release, WITHIN};
use harness::{RawUpstream, Step, answer, eventually, http};
use serde_json::{Value, json};

/// Objects of an application team, which no release owns.
const THEIRS: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: team}
---
apiVersion: llmgateway.dev/v1alpha1
kind: ProviderPool
metadata: {name: theirs, namespace: team}
spec:
  providers:
  - {name: simulated, kind: Simulated, models: [{name: theirs}]}
---
apiVersion: llmgateway.dev/v1alpha1
kind: LLMRoute
metadata: {name: theirs, namespace: team}
spec:
  rules:
  - backends: [{pool: {name: theirs}}]
";

#[tokio::test]
async fn a_release_is_installed_called_upgraded_rolled_back_and_removed() {
    let release = Release::prepare().await;
    release.put("install", &["--set", "secrets.openaiApiKey=sk-test"]).await;
    release.programmed_on("openai", 2).await;
    let endpoint = ".spec.providers[0].endpoint";
    release.says("providerpool/openai", endpoint, "https://api.openai.com/v1").await;
    release.machine.cluster().apply(THEIRS).await;

    // An upgrade brings new values, and the definitions of this version where others are.
    outdate_the_definition(&release).await;
    let vendor = vendor(&release.machine.host()).await;
    let url = format!("{}/v1", vendor.url());
    let more = [&format!("providers.openai.endpoint={url}"), "providers.simulated.enabled=true"];
    release.put("upgrade", &["--reuse-values", "--set", more[0], "--set", more[1]]).await;
    let columns = "jsonpath={.spec.versions[0].additionalPrinterColumns[*].name}";
    let columns = release.kubectl(&["get", "crd", "llmroutes.llmgateway.dev", "-o", columns]).await;
    assert!(columns.contains("Programmed"), "the definition is as it was: {columns}");
    release.says("providerpool/openai", endpoint, &url).await;
    release.programmed_on("openai", 2).await;
    release.programmed_on("quickstart", 2).await;

    let told = release.helm(&["test", "llm-gateway", "--timeout", "60s"]).await;
    assert_eq!(told.matches("Succeeded").count(), 2, "{told}");
    assert!(vendor.requests().iter().any(|request| request.contains("authorization: Bearer sk-test")));
    called(&release, "gpt-6-luna", "vendor says hello").await;
    called(&release, "demo", "").await;
    called(&release, "theirs", "").await;

    release.helm(&["rollback", "llm-gateway", "1", "--wait", "--timeout", "120s"]).await;
    release.says("providerpool/openai", endpoint, "https://api.openai.com/v1").await;
    assert!(release.try_kubectl(&["get", "llmroute", "quickstart"]).await.is_err());
    called(&release, "theirs", "").await;

    removed(&release).await;
    // What was kept is no obstacle to the next.
    release.put("install", &["--set", "providers.simulated.enabled=true"]).await;
    called(&release, "demo", "").await;
    called(&release, "theirs", "").await;
}

/// Takes from a definition what an older version did not have.
async fn outdate_the_definition(release: &Release) {
    let patch = json!([{"op": "remove", "path": "/spec/versions/0/additionalPrinterColumns"}]).to_string();
    release.kubectl(&["patch", "crd", "llmroutes.llmgateway.dev", "--type=json", "-p", &patch]).await;
}

/// A vendor of OpenAI's API, by its address for pods.
pub async fn vendor(host: &str) -> RawUpstream {
    let completion = json!({
        "id": "1", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "vendor says hello"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    });
    RawUpstream::answering_at(host, move |_| vec![Step::Send(answer(200, &completion))]).await
}

/// Calls through the Service until the answer says it.
async fn called(release: &Release, model: &str, wanted: &str) {
    let (url, token) = (release.chat_url().await, release.token().await);
    let call: Value = json!({"model": model, "messages": [{"role": "user", "content": "Hello"}]});
    eventually(&format!("{model} answers"), WITHIN, async || {
        let answer = http::send(http::with_key(http::json_request(&url, &call), &token)).await?;
        let content = answer.json()["choices"][0]["message"]["content"].as_str().map(str::to_owned);
        match content {
            Some(content) if content.contains(wanted) && !content.is_empty() => Ok(()),
            _ => Err(format!("{answer:?}")),
        }
    })
    .await;
}

/// Nothing of the release stays but the definitions; nothing of others goes.
async fn removed(release: &Release) {
    release.helm(&["uninstall", "llm-gateway", "--wait", "--timeout", "120s"]).await;
    let kinds = "deployments,services,pods,networkpolicies,poddisruptionbudgets,llmroutes,providerpools,jobs";
    eventually("the release is gone", WITHIN, async || {
        let left = release.try_kubectl(&["get", kinds, "-o", "name"]).await?;
        if left.is_empty() { Ok(()) } else { Err(left) }
    })
    .await;
    let ours = "app.kubernetes.io/part-of=llm-gateway";
    for kind in ["clusterroles", "clusterrolebindings"] {
        let left = release.kubectl(&["get", kind, "-l", ours, "-o", "name"]).await;
        assert_eq!(left, "");
    }
    let theirs = ["-n", "team", "get", "llmroutes,providerpools", "-o", "name"];
    assert_eq!(release.machine.cluster().kubectl(&theirs).await.lines().count(), 2);
    let definitions = release.kubectl(&["get", "crds", "-o", "name"]).await;
    assert_eq!(definitions.matches("llmgateway.dev").count(), 3, "{definitions}");
}
