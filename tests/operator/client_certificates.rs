//! Client certificates at a gateway: the operator brings the authorities from where the platform keeps them, and routes
//! go by whom a certificate names.

use crate::installation::{Installation, NAMESPACE, Operator, WITHIN, completion, pool, route};
use harness::http::{Answer, json_request, with_key};
use harness::https::Connection;
use harness::{Authority, Identity, Proxy, RawUpstream, ServingPair, Step, answer, eventually};
use http::Version;
use llm_config::caller::AUDIENCE;
use serde_json::{Value, json};

/// A gateway with TLS, and who may call there.
struct Scene {
    installation: Installation,
    pair: ServingPair,
    operator: Operator,
    proxy: Proxy,
    _upstream: RawUpstream,
}

impl Scene {
    /// `routes` are the rules of a route to the models `large`, `small` and `tiny` of a pool.
    async fn start(installation: Installation, callers: &Value, rules: Option<Value>) -> Self {
        installation.callers(callers);
        let upstream = RawUpstream::start([vec![Step::Send(answer(200, &completion("hello")))]]).await;
        installation.create_pool(&pool("pool", upstream.url(), &["large", "small", "tiny"])).await;
        let mut chat = route("chat", "pool");
        if let Some(rules) = rules {
            chat["spec"]["rules"] = rules;
        }
        installation.create_route(&chat).await;
        let operator = installation.operator(&[]).await;
        let pair = ServingPair::new();
        let arguments = pair.arguments(&[]);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let proxy = installation.proxy("proxy-a", &arguments).await;
        installation.ready(&[&proxy]).await;
        installation.programmed_on("chat", "1/1").await;
        Self { installation, pair, operator, proxy, _upstream: upstream }
    }

    async fn connect(&self, identity: Option<&Identity>) -> Connection {
        let version = Version::HTTP_2;
        Connection::open(self.proxy.tls(), &self.pair.authority, identity, version).await.unwrap()
    }

    /// How many problems the operator has with the gateways' settings, and what it said of the last.
    async fn problems(&self) -> (f64, String) {
        let said = self.operator.process.stderr();
        let last = said.lines().rfind(|line| line.contains("the gateways' settings")).unwrap_or_default();
        (self.operator.metric("llm_operator_gateway_problems").await, last.to_owned())
    }
}

async fn calls(connection: &mut Connection, model: &str, key: Option<&str>) -> Answer {
    let body = json!({"model": model, "messages": [{"role": "user", "content": "x"}]});
    let request = json_request("/v1/chat/completions", &body);
    let request = match key {
        Some(key) => with_key(request, key),
        None => request,
    };
    connection.send(request).await.unwrap()
}

/// The model that answered, or why none did.
fn outcome(answer: &Answer) -> String {
    match answer.header("x-llm-model") {
        Some(model) if answer.status == 200 => model.to_owned(),
        _ => format!("{} {}", answer.status.as_u16(), answer.text()),
    }
}

async fn keep(installation: &Installation, kind: &[&str], name: &str, entry: &str) {
    let literal = format!("--from-literal={entry}");
    let create = [&["create"], kind, &[name, "-n", NAMESPACE, &literal, "--dry-run=client", "-o", "yaml"]];
    let manifest = installation.cluster.kubectl(&create.concat()).await;
    installation.cluster.apply(&manifest).await;
}

#[tokio::test]
async fn a_gateway_routes_by_whom_a_certificate_names() {
    let installation = Installation::start().await;
    let (mesh, partners) = (Authority::named("mesh"), Authority::named("partners"));
    keep(&installation, &["configmap"], "mesh", &format!("root.pem={}", mesh.pem())).await;
    keep(&installation, &["secret", "generic"], "partners", &format!("ca.crt={}", partners.pem())).await;
    keep(&installation, &["secret", "generic"], "callers", "of-key=pk-1").await;
    let callers = json!({
        "keys": [{"secretRef": {"name": "callers"}}],
        "certificates": [
            {"secretRef": {"name": "partners"}},
            {"configMapRef": {"name": "mesh", "key": "root.pem"}, "trustDomain": "cluster.local"},
        ],
    });
    let to = |model: &str| json!([{"pool": {"name": "pool"}, "models": [model]}]);
    let rules = json!([
        {"matches": [{"models": ["smart"]}], "backends": to("large")},
        {"matches": [{"models": ["smart"], "callers": [{"namespaces": ["shop"], "serviceAccounts": ["web"]}]}], "backends": to("small")},
        {"matches": [{"models": ["smart"], "callers": [{"certificates": ["partner", "spiffe://cluster.local/billing"]}]}], "backends": to("tiny")},
    ]);
    installation.cluster.kubectl(&["create", "namespace", "shop"]).await;
    installation.cluster.service_account("shop", "web").await;
    let scene = Scene::start(installation, &callers, Some(rules)).await;

    let web = "spiffe://cluster.local/ns/shop/sa/web";
    for (identity, wanted) in [
        (mesh.workload(web), "small"),
        (mesh.workload("spiffe://cluster.local/ns/shop/sa/batch"), "large"),
        (mesh.workload("spiffe://cluster.local/billing"), "tiny"),
        (partners.client("partner", "x"), "tiny"),
        (partners.client("other", "x"), "large"),
        (partners.workload(web), "401"),
        (Authority::named("stranger").client("partner", "x"), "401"),
    ] {
        let mut connection = scene.connect(Some(&identity)).await;
        let outcome = outcome(&calls(&mut connection, "smart", None).await);
        assert!(outcome.starts_with(wanted), "{wanted}: {outcome}");
    }
    // Over TLS as without: a token, a key, and nothing.
    let token = scene.installation.cluster.token("shop", "web", AUDIENCE).await;
    let mut without = scene.connect(None).await;
    for (key, wanted) in [(Some(token.as_str()), "small"), (Some("pk-1"), "large"), (None, "401")] {
        let outcome = outcome(&calls(&mut without, "smart", key).await);
        assert!(outcome.starts_with(wanted), "{wanted}: {outcome}");
    }
    let lines = scene.proxy.await_requests(10).await;
    assert_eq!(lines[0]["caller_service_account"], "web", "{}", lines[0]);
    assert_eq!(lines[3]["caller_certificate"], "partner", "{}", lines[3]);
    assert_eq!(scene.problems().await.0, 0.0);
}

#[tokio::test]
async fn open_connections_follow_the_authorities() {
    let installation = Installation::start().await;
    let (old, new) = (Authority::named("old"), Authority::named("new"));
    keep(&installation, &["configmap"], "partners", &format!("ca.crt={}", old.pem())).await;
    let callers = json!({"certificates": [{"configMapRef": {"name": "partners"}}]});
    let scene = Scene::start(installation, &callers, None).await;
    let mut of_old = scene.connect(Some(&old.client("partner", "x"))).await;
    let mut of_new = scene.connect(Some(&new.client("partner", "x"))).await;
    let status = async |connection: &mut Connection| calls(connection, "large", None).await.status.as_u16();
    assert_eq!((status(&mut of_old).await, status(&mut of_new).await), (200, 401));
    let both = format!("ca.crt={}{}", old.pem(), new.pem());
    for (bundle, wanted) in [(both, (200, 200)), (format!("ca.crt={}", new.pem()), (401, 200))] {
        keep(&scene.installation, &["configmap"], "partners", &bundle).await;
        eventually("the connections follow", WITHIN, async || {
            let found = (status(&mut of_old).await, status(&mut of_new).await);
            if found == wanted { Ok(()) } else { Err(format!("{found:?}")) }
        })
        .await;
    }

    // What can't be trusted is a problem of the gateway, and nobody's authority.
    let told = async |wanted: &str| {
        eventually("the problem is told", WITHIN, async || {
            let (count, said) = scene.problems().await;
            if count == 1.0 && said.contains(wanted) { Ok(()) } else { Err(format!("{count} {said}")) }
        })
        .await;
    };
    keep(&scene.installation, &["configmap"], "partners", "ca.crt=none").await;
    told("entry `ca.crt` of ConfigMap llm-gateway/partners: holds no PEM certificate").await;
    keep(&scene.installation, &["configmap"], "partners", "ca.pem=none").await;
    told("ConfigMap llm-gateway/partners has no entry `ca.crt`; its entries are: ca.pem").await;
    scene.installation.cluster.kubectl(&["delete", "configmap", "partners", "-n", NAMESPACE]).await;
    told("there is no ConfigMap llm-gateway/partners").await;
    assert_eq!(status(&mut of_new).await, 401);
    keep(&scene.installation, &["configmap"], "partners", &format!("ca.crt={}", new.pem())).await;
    eventually("it is trusted again", WITHIN, async || {
        let found = status(&mut of_new).await;
        if found == 200 { Ok(()) } else { Err(format!("{found}")) }
    })
    .await;
    assert_eq!(scene.problems().await.0, 0.0);
}

#[tokio::test]
async fn authorities_that_can_t_be_are_refused_at_the_start_by_name() {
    let installation = Installation::start().await;
    for (certificates, said) in [
        (json!({"trustDomain": "cluster.local"}), "give each one of configMapRef and secretRef"),
        (
            json!({"secretRef": {"name": "a"}, "trustDomain": "spiffe://cluster.local"}),
            "trustDomain `spiffe://cluster.local` is none",
        ),
        (json!({"secretRef": {"name": "a", "entry": "b"}}), "entry"),
    ] {
        installation.callers(&json!({"certificates": [certificates]}));
        let told = installation.operator_fails(&[]).await;
        assert!(told.contains("gateways.yaml") && told.contains(said), "{told}");
    }
}
