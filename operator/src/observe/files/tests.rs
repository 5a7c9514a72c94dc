//! Each way in which a file can be wrong, and what a person reads then.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use super::*;

fn read(text: &str) -> (Manifests, Vec<String>) {
    let mut manifests = Manifests::default();
    let mut problems = Vec::new();
    manifests.add(Path::new("a.yaml"), text, &mut problems);
    (manifests, problems.iter().map(ToString::to_string).collect())
}

const POOL: &str = "
apiVersion: llmgateway.dev/v1alpha1
kind: ProviderPool
metadata: {name: p}
spec:
  providers:
  - {name: s, kind: Simulated, models: [{name: m}]}
";

#[test]
fn routes_pools_secrets_and_namespaces_are_read_and_others_passed_over() {
    let (manifests, problems) = read(&format!(
        "{POOL}---\n{{apiVersion: v1, kind: Secret, metadata: {{name: k}}, stringData: {{a: b}}, data: {{c: ZA==}}}}\n---\n\
         {{apiVersion: v1, kind: Namespace, metadata: {{name: team, labels: {{x: z}}}}}}\n---\n---\n\
         {{apiVersion: apps/v1, kind: Deployment, metadata: {{name: web}}}}\n"
    ));
    assert_eq!(problems, Vec::<String>::new());
    let observed = manifests.observed;
    assert_eq!(observed.pools.len(), 1);
    let data = BTreeMap::from([("a".to_owned(), b"b".to_vec()), ("c".to_owned(), b"d".to_vec())]);
    assert_eq!(observed.secrets[&ObjectName::new("default", "k")], SecretState::Present(data));
    assert_eq!(observed.namespaces["team"]["x"], "z");
    assert_eq!(manifests.passed_over, ["a.yaml: Deployment web"]);
}

#[test]
fn a_problem_names_file_object_field_and_reason() {
    let with = |from: &str, to: &str| {
        let changed = POOL.replace(from, to);
        assert_ne!(changed, POOL);
        read(&changed).1
    };
    let cases = [
        (with("providers:", "providers: ["), "a.yaml: not valid YAML"),
        (
            with("kind: ProviderPool", "kind: ProviderPol"),
            "a.yaml: ProviderPol p: no such kind: llmgateway.dev/v1alpha1 ProviderPol",
        ),
        (with("metadata: {name: p}", "metadata: {}"), "metadata.name: must not be empty"),
        (
            with("spec:", "spec:\n  allowedNamespace: {from: All}"),
            "a.yaml: ProviderPool default/p: unknown field: spec.allowedNamespace",
        ),
        (with("kind: Simulated", "kind: Cohere"), "spec.providers[0].kind"),
        (
            with("{name: m}", "{name: m, pricing: {inputPerMillion: \"1,5\", outputPerMillion: \"1\"}}"),
            "spec.providers[0].models[0].pricing.inputPerMillion",
        ),
        (with("kind: Simulated", "kind: Simulated, weight: -1"), "spec.providers[0].weight"),
        (
            with("kind: Simulated", "kind: Simulated, endpoint: \"http://x\""),
            "spec.providers[0].endpoint: kind Simulated calls no one: remove endpoint",
        ),
        (
            with("kind: Simulated", "kind: OpenAI, endpoint: \"ftp://x\""),
            "must be an http:// or https:// URL",
        ),
        (
            with("kind: Simulated", "kind: Simulated, simulated: {latency: 2h}"),
            "must be a duration from 0s to 1h",
        ),
    ];
    for (problems, expected) in cases {
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(
            problems[0].contains(expected) && problems[0].starts_with("a.yaml: "),
            "{problems:?} lacks {expected}"
        );
    }
}

#[test]
fn an_object_stands_in_one_place_only() {
    let (_, problems) = read(&format!("{POOL}---{POOL}"));
    assert_eq!(problems, ["a.yaml: ProviderPool default/p: stands in a.yaml already"]);
}

#[test]
fn folders_give_their_manifests_in_order_and_what_is_missing_is_told() {
    let folder = std::env::temp_dir().join(format!("llm-files-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("b.yaml"), POOL).unwrap();
    std::fs::write(folder.join("notes.txt"), "not: [yaml").unwrap();
    let manifests = Manifests::read(std::slice::from_ref(&folder)).unwrap();
    assert_eq!(manifests.observed.pools.len(), 1);
    let problems = Manifests::read(&[folder.join("nowhere.yaml")]).unwrap_err();
    assert!(problems[0].to_string().contains("nowhere.yaml: No such file"), "{problems:?}");
    std::fs::remove_dir_all(folder).unwrap();
}
