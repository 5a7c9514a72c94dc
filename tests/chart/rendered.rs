//! What the chart renders: each folder of `cases` holds values and the objects that they give. `UPDATE_GOLDEN=1`
//! rewrites the objects.

use harness::{Helm, workspace};
use std::fs;
use std::path::PathBuf;

pub const CHART: &str = "charts/llm-gateway";
/// What `.Capabilities` says on a cluster with the Prometheus operator.
pub const MONITORING: [&str; 2] =
    ["monitoring.coreos.com/v1/PodMonitor", "monitoring.coreos.com/v1/PrometheusRule"];

/// The objects of a case, with what is rendered only for clusters with more kinds than Kubernetes has.
pub async fn rendered(case: &str, kinds: &[&str]) -> String {
    let values = format!("tests/chart/cases/{case}/values.yaml");
    let mut arguments =
        vec!["template", "llm-gateway", CHART, "--namespace", "llm-gateway", "--values", &values];
    for kind in kinds {
        arguments.extend(["--api-versions", kind]);
    }
    Helm::new().run(&arguments, None).await.unwrap()
}

/// Without the password that Helm makes up where there is none yet.
fn without_chance(rendered: &str) -> String {
    let made_up = |line: &&str| line.strip_prefix("  password: ").is_some_and(|value| value.len() == 44);
    let lines = rendered.split_inclusive('\n').map(|line| match made_up(&line.trim_end()) {
        true => "  password: made up\n",
        false => line,
    });
    lines.collect()
}

pub fn cases() -> Vec<String> {
    let folder = fs::read_dir(workspace().join("tests/chart/cases")).unwrap();
    let mut cases: Vec<String> =
        folder.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    cases.sort();
    assert!(!cases.is_empty());
    cases
}

#[tokio::test]
async fn every_case_renders_what_is_expected_of_it() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    for case in cases() {
        let file: PathBuf = workspace().join(format!("tests/chart/cases/{case}/expected.yaml"));
        let shown = without_chance(&rendered(&case, &MONITORING).await);
        if update {
            fs::write(&file, shown).unwrap();
            continue;
        }
        let expected = fs::read_to_string(&file).unwrap_or_default();
        let same = expected.lines().zip(shown.lines()).take_while(|(a, b)| a == b).count();
        let from = |text: &str| text.lines().skip(same).take(12).collect::<Vec<_>>().join("\n");
        assert!(
            shown == expected,
            "{case}, line {}: expected\n{}\nbut the chart renders\n{}\nUPDATE_GOLDEN=1 rewrites what is expected.",
            same + 1,
            from(&expected),
            from(&shown)
        );
    }
}

#[tokio::test]
async fn lint_has_nothing_to_say() {
    for case in cases() {
        let values = format!("tests/chart/cases/{case}/values.yaml");
        let said = Helm::new().run(&["lint", CHART, "--strict", "--values", &values], None).await.unwrap();
        for line in said.lines().filter(|line| line.starts_with("[")) {
            assert!(line.contains("icon is recommended"), "{case}: {said}");
        }
    }
}

#[tokio::test]
async fn values_that_are_misspelt_or_make_no_sense_are_refused() {
    for (value, said) in [
        ("secrets.openAIApiKey=x", "additional properties 'openAIApiKey' not allowed"),
        ("gatway.replicas=1", "additional properties 'gatway' not allowed"),
        ("gateway.replica=1", "additional properties 'replica' not allowed"),
        ("gateways.edge.replica=1", "additional properties 'replica' not allowed"),
        ("gateways.Edge.replicas=1", "'Edge'"),
        ("operator.serviceAccount.created=true", "additional properties 'created' not allowed"),
        ("metrics.podMonitor.label.a=b", "additional properties 'label' not allowed"),
        ("gateway.service.type=Loadbalancer", "value must be one of"),
        ("gateway.replicas=many", "got string, want integer"),
        ("gateway.service.port=0", "minimum"),
        ("providers.openai.endpoint=api.openai.com", "does not match pattern"),
        ("gateway.tls.secret=x", "additional properties 'secret' not allowed"),
        ("gateway.tls.only=true", "tls.only needs tls.secretName"),
        ("gateway.callers.certificates[0].key=ca.crt", "missing property 'configMap'"),
        ("redis.enable=true", "additional properties 'enable' not allowed"),
        ("redis.maxmemory=64Mi", "does not match pattern"),
        ("redis.enabled=true,ledger.redis.endpoints={redis:6379}", "there is one ledger"),
        ("redis.enabled=true,gateways.redis.replicas=1", "gateway `redis` has the name of that Service"),
        (
            "gateway.callers.certificates[0].secret=a,gateway.callers.certificates[0].trustDomain=spiffe://a",
            "does not match pattern",
        ),
    ] {
        let refused =
            Helm::new().run(&["template", "llm-gateway", CHART, "--set", value], None).await.unwrap_err();
        assert!(refused.contains(said), "{value}: {refused}");
    }
}

#[tokio::test]
async fn objects_of_other_kinds_wait_for_their_api() {
    for case in cases() {
        assert!(!rendered(&case, &[]).await.contains("monitoring.coreos.com"), "{case}");
    }
}
