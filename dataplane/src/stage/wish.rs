//! What a request wishes of the gateway itself, beside what it asks of the model: by headers
//! (`x-llm-…`), and by the objects `routing` and `metadata` of the body, which no provider sees. A
//! header goes before the body. What is misspelt is refused: a wish that is not heard is a bill that
//! is not expected.

use std::{borrow::Cow, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue};
use llm_config::{Capability, Override, Strategy};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{error::Error, snapshot::served::Rule, stage::identify::excerpt};

/// The beginning of every header that is for the gateway.
const PREFIX: &str = "x-llm-";
/// Names in a list, at most.
const MOST_NAMES: usize = 32;
/// Bytes of a label, at most.
const LONGEST_LABEL: usize = 256;

/// What a request wishes; what is `None` or empty was not said.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wishes {
    pub strategy: Option<Strategy>,
    /// Providers by `name`, `pool/name` or `namespace/pool/name`.
    pub prefer: Vec<Box<str>>,
    pub exclude: Vec<Box<str>>,
    pub require: Vec<Capability>,
    /// In nano-USD.
    pub max_cost: Option<u64>,
    pub max_latency: Option<Duration>,
    pub fallback: Option<bool>,
    pub cache: Option<bool>,
    pub user: Option<Arc<str>>,
    pub project: Option<Arc<str>>,
    pub feature: Option<Arc<str>>,
    /// The reply shall say how it came about.
    pub explain: Option<bool>,
    /// What was said, with the name by which it was.
    asked: Vec<Asked>,
}

/// A wish that was said.
#[derive(Clone, Debug, PartialEq)]
struct Asked {
    /// What a rule must allow.
    needs: Option<Override>,
    /// Its name in `routing`.
    wish: &'static str,
    /// The header, or the path in the body.
    by: Cow<'static, str>,
}

/// What can be wished.
struct Wish {
    header: &'static str,
    /// Its name in `routing`.
    name: &'static str,
    /// What a rule must allow; where it is `None`, it is nobody's to allow.
    needs: Option<Override>,
    take: Take,
}

type Take = fn(&mut Wishes, &Said<'_>) -> Result<(), String>;

const fn wish(header: &'static str, name: &'static str, needs: Option<Override>, take: Take) -> Wish {
    Wish { header, name, needs, take }
}

const WISHES: [Wish; 12] = [
    wish("x-llm-strategy", "strategy", Some(Override::Strategy), |wishes, said| {
        said.named(&STRATEGIES).map(|strategy| wishes.strategy = Some(strategy))
    }),
    wish("x-llm-prefer-providers", "preferProviders", Some(Override::Providers), |wishes, said| {
        said.list().map(|names| wishes.prefer.extend(names))
    }),
    wish("x-llm-exclude-providers", "excludeProviders", Some(Override::Providers), |wishes, said| {
        said.list().map(|names| wishes.exclude.extend(names))
    }),
    wish(
        "x-llm-require-capabilities",
        "requireCapabilities",
        Some(Override::Capabilities),
        |wishes, said| {
            for name in said.list()? {
                wishes.require.push(Said::Text(name.as_ref().into()).named(&CAPABILITIES)?);
            }
            Ok(())
        },
    ),
    wish("x-llm-max-cost-usd", "maxCostUsd", Some(Override::Cost), |wishes, said| {
        said.nano_usd().map(|most| wishes.max_cost = Some(most))
    }),
    wish("x-llm-max-latency-ms", "maxLatencyMs", Some(Override::Latency), |wishes, said| {
        said.whole().map(|ms| wishes.max_latency = Some(Duration::from_millis(ms)))
    }),
    wish("x-llm-fallback", "fallback", Some(Override::Fallback), |wishes, said| {
        said.switch().map(|on| wishes.fallback = Some(on))
    }),
    wish("x-llm-cache", "cache", Some(Override::Cache), |wishes, said| {
        said.switch().map(|on| wishes.cache = Some(on))
    }),
    wish("x-llm-user", "user", None, |wishes, said| said.label().map(|label| wishes.user = Some(label))),
    wish("x-llm-project", "project", None, |wishes, said| {
        said.label().map(|label| wishes.project = Some(label))
    }),
    wish("x-llm-feature", "feature", None, |wishes, said| {
        said.label().map(|label| wishes.feature = Some(label))
    }),
    wish("x-llm-explain", "explain", None, |wishes, said| said.switch().map(|on| wishes.explain = Some(on))),
];

/// What gateways add to replies: one behind another gateway may be sent them back.
const OF_REPLIES: [&str; 10] = [
    "x-llm-provider",
    "x-llm-model",
    "x-llm-cost-usd",
    "x-llm-latency-ms",
    "x-llm-retries",
    "x-llm-request-id",
    "x-llm-routing",
    "x-llm-left-out",
    "x-llm-tokens",
    "x-llm-downgraded-by",
];

impl Wishes {
    /// Whether the reply shall say how it came about.
    pub fn explained(&self) -> bool {
        self.explain == Some(true)
    }

    /// The wishes of the headers.
    ///
    /// # Errors
    /// The first that can't be read, or is none.
    pub fn of_headers(headers: &HeaderMap) -> Result<Self, Error> {
        let mut wishes = Self::default();
        for (name, value) in headers {
            if name.as_str().starts_with(PREFIX) {
                wishes.header(name, value)?;
            }
        }
        Ok(wishes)
    }

    fn header(&mut self, name: &HeaderName, value: &HeaderValue) -> Result<(), Error> {
        let Some(wish) = WISHES.iter().find(|wish| name.as_str() == wish.header) else {
            return if OF_REPLIES.contains(&name.as_str()) { Ok(()) } else { Err(no_wish(name)) };
        };
        let unread = |reason: String| Error::Wish { wish: wish.header.into(), reason };
        let text = value.to_str().map_err(|_| unread("it must be ASCII text".to_owned()))?;
        self.take(wish, wish.header.into(), &Said::Text(text.trim().into())).map_err(unread)
    }

    /// Adds what the body's object `routing` wishes, where no header has said it.
    ///
    /// # Errors
    /// The first that can't be read, or is none.
    pub fn add_routing(&mut self, routing: &RawValue) -> Result<(), Error> {
        let fields: Vec<(String, Value)> = object(routing, "routing")?;
        for (name, value) in fields {
            let path = format!("routing.{}", excerpt(&name));
            let unread = |reason: String| Error::Wish { wish: path.clone().into(), reason };
            let Some(wish) = WISHES.iter().find(|wish| wish.name == name) else {
                let known = WISHES.map(|wish| wish.name).join(", ");
                return Err(unread(format!("there is no such wish; there are: {known}")));
            };
            if let Some(said) = value.said()
                && !self.has(wish)
            {
                self.take(wish, path.clone().into(), &said).map_err(unread)?;
            }
        }
        Ok(())
    }

    /// Adds the labels of the body's object `metadata`, where nothing else has said them.
    ///
    /// # Errors
    /// A label that is too long, or no text.
    pub fn add_labels(&mut self, labels: [(&'static str, Option<String>); 3]) -> Result<(), Error> {
        for (label, text) in labels {
            if let Some(text) = text
                && let Some(wish) = WISHES.iter().find(|wish| wish.name == label)
                && !self.has(wish)
            {
                let by = format!("metadata.{label}");
                let unread = |reason: String| Error::Wish { wish: by.clone().into(), reason };
                self.take(wish, by.clone().into(), &Said::Text(text.into())).map_err(unread)?;
            }
        }
        Ok(())
    }

    /// Whether a rule lets callers choose what this one does.
    ///
    /// # Errors
    /// The first wish that it does not allow.
    pub fn check_allowed(&self, rule: &Rule) -> Result<(), Error> {
        for Asked { needs, by, .. } in &self.asked {
            if let Some(needs) = needs.filter(|needs| !rule.client_overrides.contains(needs)) {
                let (wish, route, needs) = (by.to_string(), rule.route.to_string(), format!("{needs:?}"));
                return Err(Error::WishNotAllowed { wish, route, needs });
            }
        }
        Ok(())
    }

    /// # Errors
    /// The wish that no provider could meet, for a call of this model.
    pub fn check_met(&self, model: &str) -> Result<(), Error> {
        if self.cache != Some(true) {
            return Ok(());
        }
        let (wish, reason) = (self.by("cache").to_owned(), "there is no cache yet".to_owned());
        Err(Error::WishUnmet { wish, model: excerpt(model), reason })
    }

    /// The header or the path by which a wish was said.
    pub fn by(&self, wish: &'static str) -> &str {
        self.asked.iter().find(|asked| asked.wish == wish).map_or(wish, |asked| &asked.by)
    }

    fn has(&self, wish: &Wish) -> bool {
        self.asked.iter().any(|asked| asked.wish == wish.name)
    }

    fn take(&mut self, wish: &Wish, by: Cow<'static, str>, said: &Said<'_>) -> Result<(), String> {
        (wish.take)(self, said)?;
        self.asked.push(Asked { needs: wish.needs, wish: wish.name, by });
        Ok(())
    }
}

const STRATEGIES: [(&str, Strategy); 6] = [
    ("Weighted", Strategy::Weighted),
    ("Ordered", Strategy::Ordered),
    ("Balanced", Strategy::Balanced),
    ("CostOptimized", Strategy::CostOptimized),
    ("LatencyOptimized", Strategy::LatencyOptimized),
    ("QualityOptimized", Strategy::QualityOptimized),
];

const CAPABILITIES: [(&str, Capability); 5] = [
    ("Reasoning", Capability::Reasoning),
    ("Coding", Capability::Coding),
    ("Vision", Capability::Vision),
    ("Tools", Capability::Tools),
    ("LongContext", Capability::LongContext),
];

/// A value of a wish, as a header or JSON says it.
enum Said<'a> {
    Text(Cow<'a, str>),
    List(Vec<&'a str>),
    Switch(bool),
}

/// The same, as JSON holds it.
#[derive(Deserialize)]
#[serde(untagged)]
enum Value {
    Text(String),
    List(Vec<String>),
    Switch(bool),
    Number(serde_json::Number),
    Nothing(()),
}

impl Value {
    /// `None` for null: as if it were not there.
    fn said(&self) -> Option<Said<'_>> {
        Some(match self {
            Self::Text(text) => Said::Text(text.into()),
            Self::List(list) => Said::List(list.iter().map(String::as_str).collect()),
            Self::Switch(on) => Said::Switch(*on),
            // Written out: nobody counts money in powers of ten.
            Self::Number(number) if number.is_f64() => {
                Said::Text(format!("{:.9}", number.as_f64().unwrap_or_default()).into())
            }
            Self::Number(number) => Said::Text(number.to_string().into()),
            Self::Nothing(()) => return None,
        })
    }
}

impl Said<'_> {
    fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Switch(true) => "true",
            Self::Switch(false) => "false",
            Self::List(_) => "a list",
        }
    }

    /// One of some names, whatever their case.
    fn named<T: Copy>(&self, names: &[(&str, T)]) -> Result<T, String> {
        let found = names.iter().find(|(name, _)| name.eq_ignore_ascii_case(self.text()));
        found.map(|(_, named)| *named).ok_or_else(|| {
            let known = names.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
            format!("it must be one of {known}, not `{}`", excerpt(self.text()))
        })
    }

    fn list(&self) -> Result<Vec<Box<str>>, String> {
        let names: Vec<&str> = match self {
            Self::Text(text) => text.split(',').map(str::trim).collect(),
            Self::List(list) => list.clone(),
            Self::Switch(_) => return Err("it must be a list of names".to_owned()),
        };
        if names.len() > MOST_NAMES || names.iter().any(|name| name.is_empty() || name.len() > LONGEST_LABEL)
        {
            return Err(format!("it must be a list of 1 to {MOST_NAMES} names"));
        }
        Ok(names.into_iter().map(Into::into).collect())
    }

    fn switch(&self) -> Result<bool, String> {
        match self.text() {
            "true" | "on" => Ok(true),
            "false" | "off" => Ok(false),
            other => Err(format!("it must be true or false, not `{}`", excerpt(other))),
        }
    }

    fn whole(&self) -> Result<u64, String> {
        let number = self.text().parse::<u64>().ok().filter(|number| (1..=86_400_000).contains(number));
        number.ok_or_else(|| {
            format!("it must be a whole number from 1 to 86400000, not `{}`", excerpt(self.text()))
        })
    }

    /// A decimal number of USD with up to nine places.
    fn nano_usd(&self) -> Result<u64, String> {
        let text = self.text();
        let (whole, places) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let fits = digits(whole) && digits(places) && whole.len() <= 9 && places.len() <= 9;
        let parsed = fits
            .then(|| {
                Some(
                    whole.parse::<u64>().ok()? * 1_000_000_000
                        + format!("{places:0<9}").parse::<u64>().ok()?,
                )
            })
            .flatten();
        parsed.ok_or_else(|| {
            format!("it must be a decimal number of USD, such as 0.05, not `{}`", excerpt(text))
        })
    }

    fn label(&self) -> Result<Arc<str>, String> {
        let text = match self {
            Self::Text(text) => text.as_ref(),
            Self::List(_) | Self::Switch(_) => return Err("it must be text".to_owned()),
        };
        if text.is_empty() || text.len() > LONGEST_LABEL || text.contains(char::is_control) {
            return Err(format!("it must be 1 to {LONGEST_LABEL} bytes of text"));
        }
        Ok(text.into())
    }
}

fn no_wish(name: &HeaderName) -> Error {
    let known = WISHES.map(|wish| wish.header).join(", ");
    Error::Wish {
        wish: excerpt(name.as_str()).into(),
        reason: format!("there is no such header; there are: {known}"),
    }
}

/// The fields of an object, in its order.
fn object(raw: &RawValue, name: &'static str) -> Result<Vec<(String, Value)>, Error> {
    let fields: serde_json::Map<String, serde_json::Value> = serde_json::from_str(raw.get())
        .map_err(|_| Error::Wish { wish: name.into(), reason: "it must be an object".to_owned() })?;
    fields
        .into_iter()
        .map(|(field, value)| {
            let unread = |_| Error::Wish {
                wish: format!("{name}.{}", excerpt(&field)).into(),
                reason: "it must be text, a number, true, false, or a list of texts".to_owned(),
            };
            Ok((field.clone(), serde_json::from_value(value).map_err(unread)?))
        })
        .collect()
}
