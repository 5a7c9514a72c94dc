//! Where an account is kept: the names that proxies, the operator and the ledger have for it.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{rolling::Rolling, window::Period};

/// Those values of `per` that have no account of their own share this one.
pub const REST: &str = "*";

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unit {
    /// In nano-USD.
    Usd,
    Tokens,
    Requests,
}

/// One limit of a budget, which has one of each period and unit at most: `daily-usd`, `every3600-tokens`, `rolling18000-usd`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LimitId {
    pub period: Period,
    pub unit: Unit,
}

/// Where the account of one limit, in one window, for one value is kept.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// The Budget's uid.
    pub budget: Arc<str>,
    pub limit: LimitId,
    /// The start of the window in unix seconds; 0 where there is only one.
    pub start: i64,
    /// A value of `per`; `None`: the one that all share, or the root of those of the values.
    pub value: Option<Arc<str>>,
}

impl Place {
    /// The one that this value's is begun from.
    #[must_use]
    pub fn root(&self) -> Self {
        Self { value: None, ..self.clone() }
    }

    /// That of a value.
    #[must_use]
    pub fn of(&self, value: &Arc<str>) -> Self {
        Self { value: Some(value.clone()), ..self.clone() }
    }

    /// Its name. All of a budget have one hash tag: they are in one slot of a cluster.
    #[must_use]
    pub fn key(&self) -> String {
        match &self.value {
            Some(value) => format!("{}:v:{value}", self.root_key()),
            None => self.root_key(),
        }
    }

    /// The name of the index of the values.
    #[must_use]
    pub fn values_key(&self) -> String {
        format!("{}:values", self.root_key())
    }

    /// The keys that every call of the script names: the root, the indexes of its values and of those that are short, that
    /// of when values of a rolling limit have nothing left that counts, and the value's own.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        let root = self.root_key();
        let short = format!("{root}:short");
        let over = self.rolling().map(|_| format!("{root}:over"));
        let mut keys = vec![root, self.values_key(), short];
        keys.extend(over);
        keys.extend(self.value.is_some().then(|| self.key()));
        keys
    }

    /// How what was spent comes back, where the limit holds in any stretch of time.
    #[must_use]
    pub fn rolling(&self) -> Option<Rolling> {
        self.limit.period.rolling()
    }

    /// Where it is told which accounts' idle money others wait for.
    #[must_use]
    pub fn recall_channel(&self) -> String {
        format!("llm:{{{}}}:recall", self.budget)
    }

    fn root_key(&self) -> String {
        format!("llm:{{{}}}:{}:{}", self.budget, self.limit, self.start)
    }
}

impl fmt::Display for LimitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.unit {
            Unit::Usd => "usd",
            Unit::Tokens => "tokens",
            Unit::Requests => "requests",
        };
        write!(f, "{}-{unit}", self.period)
    }
}

/// What names no limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownLimit(pub String);

impl fmt::Display for UnknownLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} names no limit: it is a window and a unit, such as daily-usd", self.0)
    }
}

impl std::error::Error for UnknownLimit {}

impl FromStr for LimitId {
    type Err = UnknownLimit;

    fn from_str(text: &str) -> Result<Self, UnknownLimit> {
        let unknown = || UnknownLimit(text.to_owned());
        let (period, unit) = text.split_once('-').ok_or_else(unknown)?;
        let unit = match unit {
            "usd" => Unit::Usd,
            "tokens" => Unit::Tokens,
            "requests" => Unit::Requests,
            _ => return Err(unknown()),
        };
        let limit = Self { period: period.parse().map_err(|_| unknown())?, unit };
        // `every+60` would be another name for the same.
        if limit.to_string() == text { Ok(limit) } else { Err(unknown()) }
    }
}

impl TryFrom<String> for LimitId {
    type Error = UnknownLimit;

    fn try_from(text: String) -> Result<Self, UnknownLimit> {
        text.parse()
    }
}

impl From<LimitId> for String {
    fn from(limit: LimitId) -> Self {
        limit.to_string()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    #[test]
    fn a_limit_is_read_as_it_is_written() {
        for text in [
            "hourly-usd",
            "daily-tokens",
            "weekly-usd",
            "monthly-requests",
            "every3600-tokens",
            "rolling86400-usd",
            "total-usd",
        ] {
            assert_eq!(text.parse::<LimitId>().unwrap().to_string(), text);
        }
        for text in [
            "daily",
            "daily-eur",
            "yearly-usd",
            "every-usd",
            "every0x10-usd",
            "every-5-usd",
            "everyday-usd",
            "every+60-usd",
            "rolling-usd",
            "rolling+60-usd",
        ] {
            assert_eq!(text.parse::<LimitId>(), Err(UnknownLimit(text.to_owned())));
        }
    }

    #[test]
    fn all_accounts_of_a_budget_have_one_hash_tag() {
        let limit = "daily-usd".parse().unwrap();
        let root = Place { budget: "a-1".into(), limit, start: 1_764_115_200, value: None };
        let value = root.of(&"a}b{c".into());
        assert_eq!(value.key(), "llm:{a-1}:daily-usd:1764115200:v:a}b{c");
        assert_eq!((value.root(), value.values_key()), (root.clone(), root.values_key()));
        assert_eq!(root.keys(), [root.key(), root.values_key(), root.key() + ":short"]);
        assert_eq!(value.keys()[3], value.key());
        assert_eq!(value.recall_channel(), "llm:{a-1}:recall");
        let rolling = Place { limit: "rolling60-usd".parse().unwrap(), start: 0, ..value };
        assert_eq!(rolling.keys()[3..], [rolling.root().key() + ":over", rolling.key()]);
    }
}
