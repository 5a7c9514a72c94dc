//! The closed list of conditions and reasons, in Gateway API's sense.
//!
//! A verdict is decided by compile without a clock; the time of a transition is added where the
//! status is written, and kept when nothing but time has passed.

pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// What a condition speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConditionType {
    /// The spec is valid and wins what it claims.
    Accepted,
    /// Everything it refers to exists and may be used.
    ResolvedRefs,
    /// Some of it was left out; the rest is in force.
    PartiallyInvalid,
    /// Every proxy that should hold it does.
    Programmed,
    /// All providers of a pool take calls, as far as the proxies know.
    Healthy,
    /// What is spent of a budget can be read where the proxies meet.
    LedgerReachable,
}

impl ConditionType {
    /// The name in `status.conditions[].type`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "Accepted",
            Self::ResolvedRefs => "ResolvedRefs",
            Self::PartiallyInvalid => "PartiallyInvalid",
            Self::Programmed => "Programmed",
            Self::Healthy => "Healthy",
            Self::LedgerReachable => "LedgerReachable",
        }
    }
}

/// Why a condition is what it is: a closed list, so that alerts can match on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    Accepted,
    ResolvedRefs,
    Programmed,
    /// A value that the schema admits and compile does not.
    Invalid,
    /// No gateway of this operator has the name in `attachTo`.
    NoMatchingGateway,
    /// An older route serves the same model on the same gateway.
    ModelConflict,
    /// The operator knows of no ledger in which budgets could be kept.
    NoLedger,
    /// A pool that does not exist.
    BackendNotFound,
    /// A route that does not exist.
    RouteNotFound,
    /// A pool whose `allowedNamespaces` does not admit the object that refers to it, or a route whose calls a budget
    /// may not count.
    RefNotPermitted,
    /// A model that the pool does not list.
    ModelNotFound,
    /// A Secret, or a key of it, that does not exist.
    SecretNotFound,
    /// A Secret whose value can't be used.
    InvalidSecret,
    /// A pool with no provider that can be called.
    NoUsableProvider,
    /// No proxy is attached.
    NoProxies,
    /// Some proxy has not acknowledged it yet.
    Pending,
    /// Some proxy refused it.
    Refused,
    /// No route uses the pool.
    Unused,
    /// Not accepted or not resolved, so not sent.
    NotShipped,
    /// No proxy leaves a provider alone.
    AllClosed,
    /// Some proxy leaves a model of a provider alone, because it fails.
    BreakerOpen,
    /// The ledger answers the operator.
    LedgerAnswers,
    /// The ledger does not answer the operator.
    LedgerUnreachable,
    /// The ledger does not take the operator by its settings, or lets it do too little.
    LedgerRefuses,
}

impl Reason {
    /// The name in `status.conditions[].reason`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "Accepted",
            Self::ResolvedRefs => "ResolvedRefs",
            Self::Programmed => "Programmed",
            Self::Invalid => "Invalid",
            Self::NoMatchingGateway => "NoMatchingGateway",
            Self::ModelConflict => "ModelConflict",
            Self::NoLedger => "NoLedger",
            Self::RouteNotFound => "RouteNotFound",
            Self::BackendNotFound => "BackendNotFound",
            Self::RefNotPermitted => "RefNotPermitted",
            Self::ModelNotFound => "ModelNotFound",
            Self::SecretNotFound => "SecretNotFound",
            Self::InvalidSecret => "InvalidSecret",
            Self::NoUsableProvider => "NoUsableProvider",
            Self::NoProxies => "NoProxies",
            Self::Pending => "Pending",
            Self::Refused => "Refused",
            Self::Unused => "Unused",
            Self::NotShipped => "NotShipped",
            Self::AllClosed => "AllClosed",
            Self::BreakerOpen => "BreakerOpen",
            Self::LedgerAnswers => "LedgerAnswers",
            Self::LedgerUnreachable => "LedgerUnreachable",
            Self::LedgerRefuses => "LedgerRefuses",
        }
    }
}

/// A condition before it has a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub condition: ConditionType,
    pub status: bool,
    pub reason: Reason,
    /// What is so, and, where `status` is bad news, what to change.
    pub message: String,
}

impl Verdict {
    /// The condition to write: the time of `previous` stays where the status stayed.
    #[must_use]
    pub fn stamped(&self, previous: &[Condition], generation: Option<i64>, now: &Time) -> Condition {
        let status = if self.status { "True" } else { "False" };
        let since = previous
            .iter()
            .find(|old| old.type_ == self.condition.as_str() && old.status == status)
            .map_or_else(|| now.clone(), |old| old.last_transition_time.clone());
        Condition {
            type_: self.condition.as_str().to_owned(),
            status: status.to_owned(),
            reason: self.reason.as_str().to_owned(),
            message: self.message.clone(),
            observed_generation: generation,
            last_transition_time: since,
        }
    }
}
