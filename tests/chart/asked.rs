//! What `kubectl-llm` tells of a release on a whole node: its pods are reached through the API server alone.

use crate::release::{Release, WITHIN};
use harness::{Process, eventually, program};
use std::process::Command;

/// Asks for one thing, with nothing but a kubeconfig; gives what is printed.
async fn ask(release: &Release, arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new(program("kubectl-llm"));
    command.args(arguments).env("KUBECONFIG", release.machine.cluster().admin_kubeconfig());
    let process = Process::start(&command);
    let ended = process.exited(WITHIN).await;
    if ended.success() && process.stderr().is_empty() { Ok(process.stdout()) } else { Err(process.output()) }
}

/// A release with a gateway of one proxy, and pod `shop/app` with a sidecar, that are both in order.
pub async fn all_is_told(release: &Release) {
    let own = env!("CARGO_PKG_VERSION");
    // An operator that has just started knows of its proxies once they have come again.
    let told = eventually("both proxies are told", WITHIN, async || {
        let told = ask(release, &["proxies"]).await?;
        if told.contains("2 connected (1 of gateways, 1 sidecar): 2 in force") { Ok(told) } else { Err(told) }
    })
    .await;
    let row = told.lines().find(|line| line.starts_with("shop/app ")).unwrap();
    assert!(row.contains(own) && row.contains("in force"), "{told}");

    let config = ask(release, &["config", "shop/app"]).await.unwrap();
    assert!(config.contains("serviceAccount: default") && config.contains("platform/vendor"), "{config}");
    assert!(config.contains("[redacted]") && !config.contains("sk-platform"), "{config}");
    let gateway = told.lines().find(|line| line.contains(" gateway ")).unwrap().split(' ').next().unwrap();
    let config = ask(release, &["config", gateway, "-o", "json"]).await.unwrap();
    assert!(config.contains("\"shown\""), "{config}");

    let health = ask(release, &["health"]).await.unwrap();
    assert!(health.contains("platform/vendor/vendor"), "{health}");
    let status = ask(release, &["status"]).await.unwrap();
    assert!(status.contains(&format!("version {own}: 2 of 2 replicas ready; llm-operator-")), "{status}");
    let told = eventually("doctor finds nothing", WITHIN, async || {
        let told = ask(release, &["doctor"]).await?;
        if told.contains("\n0 errors, 0 warnings\n") { Ok(told) } else { Err(told) }
    })
    .await;
    assert!(told.contains("3 webhooks are trusted and answered"), "{told}");
}
