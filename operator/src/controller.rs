//! The loop: something has changed, so look, compile, publish. It never asks whether something has
//! changed; the bell rings.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use crate::{
    compile::compile, metrics::Metrics, observe::cluster::Cluster, publish::Publisher, report::Outcome,
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
    loop {
        // Nothing to go by while a Secret is looked at for the first time; the bell rings after it.
        if let Some(observed) = cluster.observe() {
            let begun = Instant::now();
            let compiled = compile(&observed);
            metrics.compiles.inc();
            metrics.compile_seconds.inc_by(begun.elapsed().as_secs_f64());
            let targets = publisher.publish(&compiled.documents);
            metrics.ready.set(1);
            // Our own status writes come back as events; the reporter finds nothing to write then.
            outcomes.send_replace(Some(Arc::new(Outcome { observed, compiled, targets })));
        }
        changed.notified().await;
        tokio::time::sleep(DEBOUNCE).await;
    }
}
