//! The compiled document: all that a proxy knows about the world.
//!
//! Operator and proxy share this crate and nothing else. The operator compiles manifests into a
//! [`Document`] and runs [`check`](Document::check) before it sends; the proxy runs the same check
//! before it swaps. Unknown fields are refused, so that a proxy older than its operator says that it
//! can't enforce something instead of dropping it in silence.
//!
//! - [`route`]: models, and the backends that answer for them.
//! - [`pool`]: providers with their endpoints, keys, models and prices.
//! - [`share`]: what a proxy has of limits that all proxies share.
//! - [`caller`]: who may call, and how that is known.
//! - [`budget`]: what calls may spend, and the ledger where proxies meet.
//! - [`credential`]: secrets, which show themselves to nobody but the other end of the stream.
//! - [`check`]: the one validator; it lists every problem.
//! - [`section`]: the document cut into parts with digests, so that a change costs what changed.
//! - [`stream`]: the messages between operator and proxy.

pub mod route;
pub mod pool;
pub mod share;
pub mod caller;
pub mod budget;
pub mod credential;
pub mod check;
pub mod section;
pub mod stream;

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

pub use budget::{Budget, Ledger};
pub use caller::{Authorities, CallerMatch, Callers, Credentials, StaticKey, TokenKey, Tokens, Workload};
pub use check::Problem;
pub use credential::{Credential, exposed};
pub use pool::{
    Capability, CircuitBreaker, HealthCheck, Limits, Model, Operation, Pool, Price, Provider, Queue, Remote,
    Retry, Simulated, Tier, Upstream,
};
pub use route::{
    Backend, Complexity, Conditions, Dialect, HeaderMatch, Hedging, Override, QueuePriority, Route, Rule,
    Sticky, Strategy, Timeouts,
};
pub use share::{Scope, Share};

/// What one proxy should hold. Keys are `namespace/name` of the object that a part was compiled from. Routes and pools
/// are shared: what one change leaves as it is costs the next document nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Document {
    #[serde(default)]
    pub routes: BTreeMap<String, Arc<Route>>,
    #[serde(default)]
    pub pools: BTreeMap<String, Arc<Pool>>,
    /// Where absent, anyone may call and nobody is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callers: Option<Callers>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub budgets: BTreeMap<String, Budget>,
    /// Where absent, budgets are kept in this process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger: Option<Ledger>,
    /// What this proxy has, by pool, of limits of scope `Cluster`: nothing of a pool that is not here. Where absent,
    /// there are no other proxies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shares: Option<BTreeMap<String, Share>>,
}

impl Document {
    /// Every problem that would keep a proxy from running this document; empty when there is none.
    #[must_use]
    pub fn check(&self) -> Vec<Problem> {
        check::document(self)
    }
}
