//! Applications of a team, in pods that know nothing of us: they call by SDKs through their sidecars, all the time, and
//! tell the test what came of every call, also of those that they make while they end.

use crate::release::{Release, WITHIN};
use crate::sidecars::{AppContainer, pod_spec};
use harness::{RawUpstream, Step, answer, eventually};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

pub const IMAGE: &str = "docker.io/library/application:1";
/// The forms of call of `application.mjs`.
pub const FORMS: [&str; 4] = ["plain", "streamed", "messages", "messages_streamed"];

/// What pods have told last, by their names.
type Reports = BTreeMap<String, Value>;

pub struct Applications {
    reports: Arc<Mutex<Reports>>,
    /// The reports when they were last asked for.
    taken: Mutex<Reports>,
    // It takes the reports until it is dropped.
    server: RawUpstream,
}

/// What came of calls.
#[derive(Default)]
pub struct Told {
    pub answered: usize,
    pub failed: Vec<String>,
}

impl Applications {
    pub async fn expect(release: &Release) -> Self {
        let reports = Arc::<Mutex<Reports>>::default();
        let server = RawUpstream::answering_at(&release.machine.host(), {
            let reports = reports.clone();
            move |request| {
                let (_, body) = request.split_once("\r\n\r\n").unwrap();
                let report: Value = serde_json::from_str(body).unwrap();
                reports.lock().unwrap().insert(report["pod"].as_str().unwrap().to_owned(), report);
                vec![Step::Send(answer(200, &json!({})))]
            }
        })
        .await;
        Self { reports, taken: Mutex::default(), server }
    }

    /// A Deployment of them.
    pub fn deployment(&self, replicas: usize) -> Value {
        let labels = json!({"app": "web"});
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod_spec(&container(self.server.url()), "Always")},
            },
        })
    }

    /// What came of the calls that pods have told of since this was last asked.
    pub fn taken(&self) -> Told {
        let now = self.reports.lock().unwrap().clone();
        let before = std::mem::replace(&mut *self.taken.lock().unwrap(), now.clone());
        let mut told = Told::default();
        for (pod, report) in &now {
            let (answered, failed) = counts(report);
            let (then, already) = before.get(pod).map_or((0, Vec::new()), counts);
            assert!(answered >= then, "the application of {pod} was started anew");
            told.answered += answered - then;
            told.failed.extend(failed[already.len()..].iter().map(|failure| format!("{pod}: {failure}")));
        }
        told
    }

    /// Waits until each of these pods has made calls of every form.
    pub async fn calling(&self, pods: &[String]) {
        self.each(pods, "is calling", |report| {
            FORMS.iter().all(|form| report["answered"][*form].as_u64().unwrap() > 0)
        })
        .await;
    }

    /// Waits until each of these pods has told that it has finished what it began.
    pub async fn ended(&self, pods: &[String]) {
        self.each(pods, "has ended", |report| report["ended"] == true).await;
    }

    async fn each(&self, pods: &[String], what: &str, so: impl Fn(&Value) -> bool) {
        eventually(&format!("each of {pods:?} {what}"), WITHIN, async || {
            let reports = self.reports.lock().unwrap();
            match pods.iter().find(|pod| !reports.get(*pod).is_some_and(&so)) {
                Some(pod) => Err(format!("{pod}: {:?}", reports.get(pod))),
                None => Ok(()),
            }
        })
        .await;
    }
}

fn counts(report: &Value) -> (usize, Vec<&str>) {
    let answered: u64 = FORMS.iter().map(|form| report["answered"][*form].as_u64().unwrap()).sum();
    let failed = report["failed"].as_array().unwrap().iter().map(|failure| failure.as_str().unwrap());
    (usize::try_from(answered).unwrap(), failed.collect())
}

/// The container, which runs `application.mjs` with this argument.
pub fn container(argument: &str) -> AppContainer<'_> {
    AppContainer { image: IMAGE, command: vec!["node", "/application.mjs", argument] }
}
