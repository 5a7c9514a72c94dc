//! What is refused and how, and that a second call changes nothing; what an injected pod looks like is
//! shown by the cases of the golden tests.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

use super::*;

fn settings() -> Settings {
    Settings::of("llm-gateway")
}

/// A pod of one container, changed by `change`.
fn pod(change: impl FnOnce(&mut Value)) -> Value {
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "app"},
        "spec": {"containers": [{"name": "app", "image": "app:1"}]},
    });
    change(&mut pod);
    pod
}

fn injected(pod: &Value) -> Value {
    match inject(pod, Asked::ByNamespace, &settings()) {
        Ok(Injection::Injected { pod, .. }) => pod,
        other => panic!("{other:#?}"),
    }
}

fn refused(pod: &Value) -> String {
    inject(pod, Asked::ByPod, &settings()).unwrap_err().to_string()
}

fn annotated(name: &str, value: &str) -> Value {
    pod(|pod| pod["metadata"]["annotations"] = json!({format!("llmgateway.dev/{name}"): value}))
}

fn env<'a>(container: &'a Value, name: &str) -> Option<&'a str> {
    container["env"].as_array()?.iter().find(|variable| variable["name"] == name)?["value"].as_str()
}

#[test]
fn the_pods_own_word_goes_before_its_namespaces() {
    let labels = |value: Option<&str>| -> BTreeMap<String, String> {
        value.map(|value| (INJECT.to_owned(), value.to_owned())).into_iter().collect()
    };
    for (pod, namespace, wanted) in [
        (Some("true"), None, Asked::ByPod),
        (Some("true"), Some("false"), Asked::ByPod),
        (Some("false"), Some("true"), Asked::No),
        (None, Some("true"), Asked::ByNamespace),
        (None, Some("enabled"), Asked::No),
        (None, None, Asked::No),
    ] {
        assert_eq!(asked(&labels(pod), &labels(namespace)), Ok(wanted), "{pod:?} {namespace:?}");
    }
    let told = asked(&labels(Some("yes")), &labels(Some("true"))).unwrap_err();
    assert_eq!(told, "label `llmgateway.dev/inject`: `yes` must be `true` or `false`");
}

#[test]
fn a_bad_annotation_is_refused_with_what_to_change() {
    for (name, value, wanted) in [
        (
            "prot",
            "14000",
            "annotation `llmgateway.dev/prot`: there is none of this name; there are llmgateway.dev/containers",
        ),
        ("port", "http", "annotation `llmgateway.dev/port`: `http` must be a port from 1024 to 65535"),
        ("port", "80", "`llmgateway.dev/port`: 80 must be a port from 1024"),
        ("admin-port", "70000", "`llmgateway.dev/admin-port`: `70000` must be a port"),
        ("port", "14001", "port 14001 is the admin port too"),
        ("log-level", "verbose", "`verbose` must be error, warn, info, debug or trace"),
        ("image", "", "`llmgateway.dev/image`: it must be the name of an image"),
        ("cpu-limit", "fast", "`llmgateway.dev/cpu-limit`: `fast` must be a quantity above 0"),
        ("memory-request", "1Gi", "the memory request 1Gi is above the memory limit 256Mi"),
        ("cpu-request", "-1", "`-1` must be a quantity above 0"),
        ("containers", "app,wroker", "there is no container `wroker`; there are app"),
    ] {
        let told = refused(&annotated(name, value));
        assert!(told.contains(wanted), "{name}: {value}: {told}");
    }
    let both = pod(|pod| {
        pod["metadata"]["annotations"] =
            json!({"llmgateway.dev/port": "x", "llmgateway.dev/log-level": "y", "other.dev/port": "z"});
    });
    assert_eq!(inject(&both, Asked::ByPod, &settings()).unwrap_err().0.len(), 2);
}

#[test]
fn what_is_in_the_way_is_named() {
    let clash = pod(|pod| pod["spec"]["containers"][0]["ports"] = json!([{"containerPort": 14000}]));
    assert_eq!(
        refused(&clash),
        "container `app` listens on port 14000, as the sidecar would: choose another by the annotation `llmgateway.dev/port`"
    );
    let elsewhere = pod(|pod| {
        pod["spec"]["containers"][0]["ports"] = json!([{"containerPort": 14000}]);
        pod["metadata"]["annotations"] = json!({"llmgateway.dev/port": "14010"});
    });
    assert_eq!(
        env(&injected(&elsewhere)["spec"]["containers"][0], "OLLAMA_HOST"),
        Some("http://127.0.0.1:14010")
    );
    // Datagrams are another matter.
    injected(&pod(|pod| {
        pod["spec"]["containers"][0]["ports"] = json!([{"containerPort": 14000, "protocol": "UDP"}]);
    }));
    let taken = pod(|pod| pod["spec"]["containers"][0]["name"] = "llm-proxy".into());
    assert!(refused(&taken).contains("a container is called `llm-proxy`"));
    let taken = pod(|pod| pod["spec"]["volumes"] = json!([{"name": "llm-gateway-ca", "emptyDir": {}}]));
    assert!(refused(&taken).contains("a volume is called `llm-gateway-ca`"));
    assert!(refused(&json!({"metadata": {}})).starts_with("spec: "));
    assert!(refused(&json!([1])).starts_with("spec: "));
}

#[test]
fn a_pod_that_cant_have_one_is_refused_when_it_asked_and_noted_when_its_namespace_did() {
    for (spec, wanted) in [
        (json!({"hostNetwork": true}), "it uses the network of its node"),
        (json!({"shareProcessNamespace": true}), "its containers see each other's processes"),
        (json!({"os": {"name": "windows"}}), "it runs on Windows"),
    ] {
        let pod = pod(|pod| {
            let more = spec.as_object().unwrap().clone();
            pod["spec"].as_object_mut().unwrap().extend(more);
        });
        let told = refused(&pod);
        assert!(told.contains(wanted) && told.contains("remove its label"), "{told}");
        let Ok(Injection::PassedOver { pod: noted, why }) = inject(&pod, Asked::ByNamespace, &settings())
        else {
            panic!("{spec}");
        };
        assert_eq!(noted["metadata"]["annotations"]["llmgateway.dev/not-injected"], why);
        assert_eq!(noted["spec"], pod["spec"]);
        assert_eq!(inject(&pod, Asked::No, &settings()), Ok(Injection::NotAsked));
    }
}

#[test]
fn a_second_call_changes_nothing_but_what_came_in_between() {
    let first = injected(&pod(|pod| {
        pod["spec"]["initContainers"] = json!([{"name": "migrate", "image": "app:1"}]);
        pod["spec"]["futureField"] = json!({"kept": true});
    }));
    assert_eq!(injected(&first), first);
    assert_eq!(first["spec"]["futureField"], json!({"kept": true}), "what is not known survives");

    let mut second = first.clone();
    // The API server fills in defaults; one webhook pins images, one adds containers before and behind.
    second["spec"]["volumes"][0]["projected"]["defaultMode"] = 420.into();
    second["spec"]["initContainers"][0]["image"] = "llm-gateway@sha256:0".into();
    let mesh = json!({"name": "istio-proxy", "image": "mesh", "restartPolicy": "Always"});
    let agent = json!({"name": "agent", "image": "agent"});
    second["spec"]["initContainers"].as_array_mut().unwrap().insert(0, agent.clone());
    second["spec"]["initContainers"].as_array_mut().unwrap().insert(0, mesh.clone());
    second["spec"]["containers"].as_array_mut().unwrap().push(agent);
    let second = injected(&second);
    let order: Vec<&Value> =
        second["spec"]["initContainers"].as_array().unwrap().iter().map(|c| &c["name"]).collect();
    assert_eq!(order, ["istio-proxy", "llm-proxy", "agent", "migrate"]);
    assert_eq!(second["spec"]["initContainers"][1]["image"], "llm-gateway@sha256:0");
    assert_eq!(second["spec"]["initContainers"][0], mesh, "a mesh calls no models");
    assert_eq!(second["spec"]["volumes"][0]["projected"]["defaultMode"], 420);
    assert_eq!(env(&second["spec"]["containers"][1], "OPENAI_BASE_URL"), Some("http://127.0.0.1:14000/v1"));
    assert_eq!(injected(&second), second);
}

#[test]
fn one_that_was_wished_for_otherwise_is_made_anew_with_its_variables() {
    let mut old = injected(&pod(|pod| {
        pod["spec"]["containers"][0]["env"] = json!([{"name": "OWN", "value": "$(OLLAMA_HOST)"}]);
    }));
    for (name, value) in [("image", "other:2"), ("port", "15000"), ("log-level", "debug")] {
        old["metadata"]["annotations"][format!("llmgateway.dev/{name}")] = value.into();
    }
    let made = injected(&old);
    assert_eq!(made["spec"]["initContainers"].as_array().unwrap().len(), 1);
    let sidecar = &made["spec"]["initContainers"][0];
    assert_eq!((&sidecar["image"], env(sidecar, "RUST_LOG")), (&json!("other:2"), Some("debug")));
    assert_eq!(sidecar["args"][1], "--listen=127.0.0.1:15000");
    let app = &made["spec"]["containers"][0];
    assert_eq!(env(app, "OPENAI_BASE_URL"), Some("http://127.0.0.1:15000/v1"));
    assert_eq!(env(app, "GEMINI_API_KEY"), Some("provided-by-llm-gateway"));
    let names: Vec<&Value> =
        app["env"].as_array().unwrap().iter().map(|variable| &variable["name"]).collect();
    assert_eq!((names.len(), names[7]), (8, &json!("OWN")), "{names:?}");
}

#[test]
fn a_vendor_that_a_container_has_set_up_is_left_to_it() {
    let made = injected(&pod(|pod| {
        pod["spec"]["containers"][0]["env"] = json!([
            {"name": "OPENAI_BASE_URL", "value": "https://elsewhere.example/v1"},
            {"name": "ANTHROPIC_AUTH_TOKEN", "value": "own"},
            {"name": "GOOGLE_API_KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "google"}}},
        ]);
    }));
    let app = &made["spec"]["containers"][0];
    assert_eq!(env(app, "OPENAI_BASE_URL"), Some("https://elsewhere.example/v1"));
    for absent in ["OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY"] {
        assert_eq!(env(app, absent), None, "{absent}");
    }
    assert_eq!(env(app, "ANTHROPIC_BASE_URL"), Some("http://127.0.0.1:14000"));
    assert_eq!(env(app, "GOOGLE_GEMINI_BASE_URL"), Some("http://127.0.0.1:14000"));
}

#[test]
fn variables_of_unknown_content_are_not_overridden_unless_the_container_is_named() {
    let from = |annotations: Value| {
        pod(|pod| {
            pod["spec"]["containers"][0]["envFrom"] = json!([{"secretRef": {"name": "app"}}]);
            pod["metadata"]["annotations"] = annotations;
        })
    };
    let Ok(Injection::Injected { pod, warnings }) = inject(&from(json!({})), Asked::ByNamespace, &settings())
    else {
        panic!("it is injected");
    };
    assert_eq!(pod["spec"]["containers"][0].get("env"), None);
    assert!(warnings[0].starts_with("container `app`: it takes variables by envFrom"), "{warnings:?}");
    let done = pod["metadata"]["annotations"]["llmgateway.dev/injected"].as_str().unwrap();
    assert!(done.contains(r#""left":{"app":"envFrom"}"#), "{done}");
    let named = injected(&from(json!({"llmgateway.dev/containers": "app"})));
    assert_eq!(env(&named["spec"]["containers"][0], "OPENAI_API_KEY"), Some("provided-by-llm-gateway"));
}

#[test]
fn settings_are_checked_at_the_start() {
    let read = |text: &str| Settings::read(text, "gateways");
    assert_eq!(read("").unwrap().operator, "https://llm-operator.gateways.svc:8443");
    let set = read("image: r.example/llm:2\nport: 15000\nresources: {requests: {}, limits: {memory: 64Mi}}")
        .unwrap();
    assert_eq!((set.image.as_str(), set.port, set.resources.requests.len()), ("r.example/llm:2", 15000, 0));
    for (text, wanted) in [
        ("imgae: x", "imgae"),
        ("port: 80", "port: 80 must be a port from 1024 to 65535"),
        ("port: 14001", "port and adminPort must differ"),
        ("operator: http://x", "operator: it must be an https:// URL"),
        ("logLevel: loud", "logLevel: `loud` must be"),
        ("imagePullPolicy: Sometimes", "Sometimes"),
        ("imagePullSecrets: [{}]", "name"),
        ("runAsUser: 0", "runAsUser: it must be the number of a user that is not root"),
        (
            "resources: {requests: {cpu: \"2\"}, limits: {cpu: \"1\"}}",
            "the cpu request 2 is above the cpu limit 1",
        ),
        ("resources: {limits: {memory: 1X}}", "resources: limits.memory: `1X` must be a quantity"),
    ] {
        let told = read(text).unwrap_err();
        assert!(told.contains(wanted), "{text}: {told}");
    }
}

#[test]
fn the_image_is_pulled_and_run_as_the_settings_say() {
    let text = "imagePullSecrets: [{name: registry}, {name: mirror}]\nrunAsUser: null";
    let settings = Settings::read(text, "gateways").unwrap();
    let own = pod(|pod| pod["spec"]["imagePullSecrets"] = json!([{"name": "own"}, {"name": "mirror"}]));
    let Ok(Injection::Injected { pod: made, .. }) = inject(&own, Asked::ByPod, &settings) else { panic!() };
    assert_eq!(
        made["spec"]["imagePullSecrets"],
        json!([{"name": "own"}, {"name": "mirror"}, {"name": "registry"}])
    );
    let security = |pod: &Value| pod["spec"]["initContainers"][0]["securityContext"].clone();
    assert_eq!(security(&made)["runAsNonRoot"], true);
    assert!(security(&made).get("runAsUser").is_none() && security(&made).get("runAsGroup").is_none());
    let plain = injected(&pod(|_| {}));
    assert_eq!(security(&plain)["runAsUser"], 65532);
    assert!(plain["spec"].get("imagePullSecrets").is_none());
}

#[test]
fn quantities_are_compared_by_what_they_say() {
    let value = |text: &str| quantity::quantity(text).unwrap();
    assert!(value("100m") < value("1") && value("1Gi") > value("1G") && value("0.5") == value("500m"));
    for wrong in ["", "m", "1.2.3", "1Xi", "0", "1e3x", " 1"] {
        assert!(quantity::quantity(wrong).is_err(), "{wrong}");
    }
}
