//! The loop: something has changed, so look, compile, publish. It never asks whether something has
//! changed; the bell rings.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use crate::{
    compile::{Compiled, Compiler, fleet::Fleet},
    metrics::Metrics,
    observe::{ObjectName, Observed, SidecarPod, cluster::Cluster},
    publish::{Publisher, Sidecar},
    report::Outcome,
};

/// What arrives within this is one change: `kubectl apply` of a folder is many events.
const DEBOUNCE: Duration = Duration::from_millis(5);

/// Runs for as long as the operator does.
pub async fn run(
    mut cluster: Cluster,
    publisher: Arc<Publisher>,
    outcomes: watch::Sender<Option<Arc<Outcome>>>,
    changed: Arc<Notify>,
    metrics: Arc<Metrics>,
) {
    let (mut compiler, mut problems) = (Compiler::default(), Vec::new());
    loop {
        // Nothing to go by while a Secret is looked at for the first time; the bell rings after it.
        if let Some(observed) = cluster.observe().and_then(|observed| news(&outcomes, observed)) {
            let begun = Instant::now();
            let compiled = compiler.compile(&observed);
            metrics.compiles.inc();
            metrics.compile_seconds.inc_by(begun.elapsed().as_secs_f64());
            if compiled.problems != problems {
                problems.clone_from(&compiled.problems);
                metrics.gateway_problems.set(i64::try_from(problems.len()).unwrap_or(i64::MAX));
                problems.iter().for_each(|problem| tracing::error!(problem, "the gateways' settings"));
                if problems.is_empty() {
                    tracing::info!("the gateways' settings are in order");
                }
            }
            let targets = publisher.publish(&compiled.documents, sidecars(&compiled, &observed));
            metrics.ready.set(1);
            outcomes.send_replace(Some(Arc::new(Outcome {
                observed,
                compiled: Arc::new(compiled),
                targets,
            })));
        }
        changed.notified().await;
        tokio::time::sleep(DEBOUNCE).await;
    }
}

/// What there is to compile, if anything. Most events change nothing that compile looks at: our own writes of status
/// come back as such. Who begins to lead compares with the statuses that there are, so those are kept, and wake nobody.
fn news(outcomes: &watch::Sender<Option<Arc<Outcome>>>, observed: Observed) -> Option<Observed> {
    let last = outcomes.borrow().clone();
    let Some(last) = last.filter(|last| last.observed.compiles_like(&observed)) else {
        return Some(observed);
    };
    let Outcome { compiled, targets, .. } = last.as_ref();
    let outcome = Outcome { observed, compiled: compiled.clone(), targets: targets.clone() };
    outcomes.send_if_modified(|outcomes| {
        *outcomes = Some(Arc::new(outcome));
        false
    });
    None
}

fn sidecars(compiled: &Compiled, observed: &Observed) -> BTreeMap<ObjectName, Sidecar> {
    let sidecar = |(pod, fleet): (&ObjectName, &Fleet)| {
        let SidecarPod { uid, labels } = observed.sidecars.get(pod).cloned().unwrap_or_default();
        (pod.clone(), Sidecar { fleet: fleet.clone(), uid, labels })
    };
    compiled.sidecars.iter().map(sidecar).collect()
}
