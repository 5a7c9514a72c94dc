//! Why the ledger did not answer, in words that name the server and what to change.

use std::sync::Arc;

use redis::ErrorKind;

/// What a user of Redis must be allowed, and nothing else, as `ACL SETUSER NAME` takes it. In a cluster besides:
/// `+cluster|slots +asking`.
pub const RIGHTS: &str = "~llm:* &llm:*:recall +evalsha +eval +info +psubscribe +publish +time +del +pexpire \
    +pttl +hset +hget +hmget +hgetall +hdel +hincrby +zadd +zrem +zcard +zscore +zrevrange +zrangebyscore";

/// What a user of a sentinel must be allowed.
const SENTINEL_RIGHTS: &str = "+sentinel|get-master-addr-by-name";
/// The fields of the settings that say who logs in to a sentinel.
pub(crate) const SENTINEL: &str = "ledger.redis.mode.sentinel";

/// No answer. The operation may have been applied all the same: what is stated next says all there is to say.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{endpoint}{why}")]
pub struct Unanswered {
    pub kind: Kind,
    endpoint: Arc<str>,
    why: Arc<str>,
    by_settings: bool,
}

/// What kept the answer away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// It took too long.
    Timeout,
    /// There is no connection.
    Disconnected,
    /// The ledger answered that it will not.
    Refused,
}

impl Unanswered {
    /// What `endpoint` did: `did not answer within 50 ms`.
    pub(crate) fn did(kind: Kind, endpoint: &str, what: &str) -> Self {
        Self { kind, endpoint: endpoint.into(), why: format!(" {what}").into(), by_settings: false }
    }

    pub(crate) fn of(kind: Kind, endpoint: &str, why: &str) -> Self {
        Self { kind, endpoint: endpoint.into(), why: format!(": {why}").into(), by_settings: false }
    }

    /// With what may be the matter.
    pub(crate) fn asking(self, what: &str) -> Self {
        Self { why: format!("{}: {what}", self.why).into(), ..self }
    }

    /// None of several did.
    pub(crate) fn all(endpoint: &str, whys: &[Self]) -> Self {
        let kind = whys.iter().map(|why| why.kind).max().unwrap_or(Kind::Disconnected);
        let by_settings = whys.iter().any(|why| why.by_settings);
        let whys: Vec<_> = whys.iter().map(ToString::to_string).collect();
        Self { by_settings, ..Self::of(kind, endpoint, &whys.join("; ")) }
    }

    /// Whether the server takes nobody who comes by these settings, or lets them too little: no waiting mends that, but
    /// another password, or other rights.
    #[must_use]
    pub fn refuses_settings(&self) -> bool {
        self.by_settings
    }

    /// Who did not answer.
    #[must_use]
    pub fn endpoint(&self) -> &Arc<str> {
        &self.endpoint
    }

    /// An error of the library; `fields` are those of the settings that say who logs in.
    pub(crate) fn from_redis(endpoint: &str, error: &redis::RedisError, fields: &str) -> Self {
        match error.code() {
            Some(code) => Self::refused(endpoint, code, error.detail().unwrap_or_default(), fields),
            None if error.kind() == ErrorKind::RESP3NotSupported => {
                Self::of(Kind::Refused, endpoint, "is older than Redis 6: it does not know HELLO")
            }
            None if error.is_timeout() => Self::did(Kind::Timeout, endpoint, "did not answer in time"),
            None if error.is_io_error() => {
                Self::of(Kind::Disconnected, endpoint, &format!("the connection broke: {error}"))
            }
            None => Self::of(Kind::Refused, endpoint, &format!("is no Redis of version 6 or later: {error}")),
        }
    }

    /// The server's own error.
    pub(crate) fn refused(endpoint: &str, code: &str, detail: &str, fields: &str) -> Self {
        // What a script may not do has no code of its own.
        let is_of_rights = code == "NOPERM" || detail.starts_with("The user executing the script can't");
        let advice = match code {
            "WRONGPASS" => {
                format!(": set {fields}.username and {fields}.password to a user that the server has")
            }
            "NOAUTH" => {
                format!(": set {fields}.password, and {fields}.username if it is not the default user's")
            }
            _ if is_of_rights => {
                let rights = if fields == SENTINEL { SENTINEL_RIGHTS } else { RIGHTS };
                format!(": give the user of {fields}.username its rights: ACL SETUSER NAME {rights}")
            }
            "READONLY" => ": it is a replica; name its master, or its sentinels".to_owned(),
            "LOADING" => ": it is reading its data, and answers when it has".to_owned(),
            "BUSY" => ": another client's script runs; SCRIPT KILL ends it".to_owned(),
            "OOM" => ": raise the server's maxmemory, and give the ledger a server of its own".to_owned(),
            "MISCONF" => ": it cannot write its data to disk; its log says why".to_owned(),
            "CLUSTERDOWN" => ": a part of the cluster has no master; CLUSTER INFO says which".to_owned(),
            _ => String::new(),
        };
        let why = format!("{code} {}{advice}", detail.trim_end_matches('.'));
        let by_settings = matches!(code, "WRONGPASS" | "NOAUTH") || is_of_rights;
        Self { by_settings, ..Self::of(Kind::Refused, endpoint, &why) }
    }
}
