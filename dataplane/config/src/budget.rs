//! What calls may spend: limits that hold among all proxies, and the ledger where they meet.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Credential, route::is_default};

/// One Budget.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Budget {
    /// Tells it from one of the same name that was there before, which has spent for itself.
    pub uid: String,
    #[serde(default, skip_serializing_if = "is_default")]
    pub scope: Scope,
    /// Each distinct value of these, taken together, has limits of its own; where empty, all calls share them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub per: Vec<Dimension>,
    /// So many values have limits of their own; all further ones share one more.
    #[serde(default, skip_serializing_if = "is_default")]
    pub max_values: u32,
    /// At least one; a call must be within all.
    pub limits: Vec<Limit>,
    /// Where days begin: a name of the IANA time zone database.
    pub time_zone: String,
    #[serde(default, skip_serializing_if = "is_default")]
    pub enforcement: Enforcement,
    #[serde(default, skip_serializing_if = "is_default")]
    pub on_exceeded: OnExceeded,
    #[serde(default, skip_serializing_if = "is_default")]
    pub on_ledger_unavailable: OnLedgerUnavailable,
}

/// Which calls count: of each list that is given, one must fit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Scope {
    /// Calls through routes of this namespace, and those that are made from it; all where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<String>,
    /// Where callers are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub service_accounts: Vec<String>,
    /// `namespace/name` of LLMRoutes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<String>,
    /// Models that answer, by the names that pools give them; a `*` stands for any text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<String>,
    /// `namespace/pool/provider` of those that answer; a `*` stands for any text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub providers: Vec<String>,
    /// What calls say of themselves: `user`, `project` and `feature`; all that are given.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<Dimension, String>,
}

/// What tells calls apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Dimension {
    /// As the call says.
    User,
    Project,
    Feature,
    /// As the caller is known.
    Namespace,
    ServiceAccount,
    Route,
}

/// One limit. A budget has one of each unit and window at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Limit {
    pub window: Window,
    pub unit: Unit,
    /// Nano-USD, tokens or requests.
    pub amount: u64,
}

/// From when until when what is spent counts together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Window {
    Hourly,
    Daily,
    Weekly,
    Monthly,
    /// Of so many seconds, one after the other.
    Every(u64),
    /// Any stretch of so many seconds, wherever it begins.
    Rolling(u64),
    Total,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Unit {
    /// In nano-USD.
    Usd,
    /// Input and output.
    Tokens,
    Requests,
}

/// How a limit is held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Enforcement {
    /// A call reserves the most that it can cost: the limit is never passed.
    #[default]
    Strict,
    /// A call reserves what it is expected to cost.
    Estimated,
    /// Counted, and nothing is refused.
    Audit,
}

/// What becomes of calls that find no money.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum OnExceeded {
    #[default]
    Block,
    /// They pass, and are counted.
    Warn,
    /// They go to cheaper models, once so much of the limit is gone, in parts per million. Those that find no money
    /// for those either are refused.
    #[serde(rename_all = "camelCase")]
    Downgrade { from_ppm: u32, backends: Vec<crate::Backend> },
}

/// What becomes of calls while the ledger is away and the lease in hand is spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnLedgerUnavailable {
    #[default]
    Deny,
    /// They pass, and are told to the ledger when it is back.
    Allow,
}

/// Where proxies meet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Ledger {
    Redis(Redis),
}

/// A Redis, or what speaks as one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Redis {
    /// `host:port`, at least one: the server, or some of the sentinels or of the nodes of a cluster.
    pub endpoints: Vec<String>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub mode: RedisMode,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Credential>,
    /// Of a server without a cluster.
    #[serde(default, skip_serializing_if = "is_default")]
    pub database: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<RedisTls>,
}

/// How many servers there are, and how the one that counts is found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum RedisMode {
    #[default]
    Single,
    #[serde(rename_all = "camelCase")]
    Sentinel {
        /// The name of the master.
        master: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        username: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        password: Option<Credential>,
    },
    Cluster,
}

/// By TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RedisTls {
    /// PEM certificates of the only authorities to trust; the system's roots where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
}
