//! What the stages, the workers, the admin port and the configuration share: the limits, the snapshot
//! in force, and what is counted.

use std::{
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use arc_swap::ArcSwapOption;
use llm_config::Document;

use crate::{
    budget::Purses,
    buffer::Buffers,
    metrics::{Labels, Metrics, Series},
    request_log::{Format, RequestLog, Writer},
    snapshot::Snapshot,
    upstream::{client::Clients, health::Healths},
};

/// What a caller may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub max_body_bytes: usize,
    /// What all bodies that are held whole may take together, replies among them.
    pub max_buffered_bytes: usize,
    pub max_connections: usize,
    /// From the end of the head to the end of the body.
    pub body_timeout: Duration,
    /// From the connection, or the end of the call before, to the end of the head.
    pub header_timeout: Duration,
    /// How long a client may take nothing of what is written to it. What is held of it counts as a whole.
    pub write_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_body_bytes: 32 * 1024 * 1024,
            max_buffered_bytes: 512 * 1024 * 1024,
            max_connections: 4096,
            body_timeout: Duration::from_secs(60),
            header_timeout: Duration::from_secs(75),
            write_timeout: Duration::from_secs(60),
        }
    }
}

/// What workers, admin port and configuration share.
#[derive(Debug)]
pub struct Shared {
    pub snapshot: ArcSwapOption<Snapshot>,
    pub metrics: Arc<Metrics>,
    pub clients: Clients,
    pub healths: Arc<Healths>,
    pub purses: Arc<Purses>,
    pub limits: Limits,
    pub buffers: Buffers,
    pub log: RequestLog,
    /// Calls that were refused before they had a route.
    pub unrouted: Arc<Series>,
    pub draining: AtomicBool,
}

impl Shared {
    /// Without any configuration yet; the writer of the log is to be finished at the end.
    pub fn new(
        workers: usize,
        limits: Limits,
        request_log: Format,
        state: Option<PathBuf>,
    ) -> (Arc<Self>, Writer) {
        let healths = Arc::new(Healths::default());
        let purses = Arc::new(Purses::new(state));
        let metrics = Arc::new(Metrics::new(healths.clone(), purses.clone()));
        let (log, writer) = RequestLog::start(request_log, metrics.clone());
        let shared = Self {
            snapshot: ArcSwapOption::empty(),
            unrouted: metrics.series(&Labels::default()),
            metrics,
            healths,
            purses,
            // One set is for checks.
            clients: Clients::new(workers + 1),
            buffers: Buffers::new(limits.max_buffered_bytes),
            limits,
            log,
            draining: AtomicBool::new(false),
        };
        (Arc::new(shared), writer)
    }
}

/// Puts configuration in force.
#[derive(Clone, Debug)]
pub struct Handle(Arc<Shared>);

impl Handle {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    /// Checks a document and swaps it in whole; calls in flight go on with what they began with.
    ///
    /// # Errors
    /// Every problem of the document; the one in force stays.
    pub fn install(&self, document: Document) -> Result<(), Vec<String>> {
        let shared = &self.0;
        let built =
            Snapshot::build(document, &shared.metrics, &shared.clients, &shared.healths, &shared.purses);
        let built = built.and_then(|snapshot| {
            shared.purses.connect(&snapshot.document).map_err(|problem| vec![problem])?;
            Ok(snapshot)
        });
        match built {
            Ok(snapshot) => {
                snapshot.budgets.agree(&snapshot.document);
                snapshot.limit();
                drop(shared.snapshot.swap(Some(Arc::new(snapshot))));
                shared.metrics.config_updates.inc();
                shared.metrics.forget_unused();
                shared.healths.forget_unused();
                shared.clients.forget_unused();
                shared.purses.forget_unused();
                Ok(())
            }
            Err(problems) => {
                shared.metrics.config_refused.inc();
                Err(problems)
            }
        }
    }

    pub(crate) fn healths(&self) -> &Healths {
        &self.0.healths
    }

    /// Counts an update that could not even be read.
    pub(crate) fn refused(&self) {
        self.0.metrics.config_refused.inc();
    }
}
