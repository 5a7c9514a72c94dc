//! What a reply says of how it came about: headers on every reply, and for who asks
//! (`x-llm-explain: true`) an object in its body. What a stream knows only at its end comes as
//! trailers, and as a comment behind its last event.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    money::{Cost, Usd},
    snapshot::{Target, budgets::Budget},
    stage::route::Decision,
};

const PROVIDER: HeaderName = HeaderName::from_static("x-llm-provider");
const MODEL: HeaderName = HeaderName::from_static("x-llm-model");
const COST: HeaderName = HeaderName::from_static("x-llm-cost-usd");
const LATENCY: HeaderName = HeaderName::from_static("x-llm-latency-ms");
const RETRIES: HeaderName = HeaderName::from_static("x-llm-retries");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-llm-request-id");
const DOWNGRADED_BY: HeaderName = HeaderName::from_static("x-llm-downgraded-by");
const ROUTING: HeaderName = HeaderName::from_static("x-llm-routing");
/// The names of the trailers, for the head of a stream that has them.
pub const TRAILERS: HeaderValue = HeaderValue::from_static("x-llm-cost-usd, x-llm-latency-ms");

/// What is known of a call, now or at its end.
#[derive(Debug)]
pub struct Report {
    pub request_id: u64,
    /// Who answers, or was asked last.
    pub target: Option<Arc<Target>>,
    pub attempts: u8,
    pub took: Duration,
    /// At the end.
    pub cost: Option<Cost>,
    pub explanation: Option<Box<Explanation>>,
    /// The budget because of which something cheaper answers than the route has.
    pub downgraded_by: Option<Arc<Budget>>,
}

/// What is told only to who asks.
#[derive(Debug, Default)]
pub struct Explanation {
    pub decision: Option<Box<Decision>>,
    pub trace: Option<Trace>,
}

/// The caller's place in its trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    pub trace_id: Box<str>,
    pub span_id: Box<str>,
}

impl Trace {
    /// Of a `traceparent` as the W3C writes it; `None` where there is none that can be read.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut parts = headers.get("traceparent")?.to_str().ok()?.split('-').skip(1);
        let hex = |part: &&str, len| part.len() == len && part.bytes().all(|b| b.is_ascii_hexdigit());
        let trace_id = parts.next().filter(|part| hex(part, 32))?;
        let span_id = parts.next().filter(|part| hex(part, 16))?;
        Some(Self { trace_id: trace_id.into(), span_id: span_id.into() })
    }
}

impl Report {
    /// Adds what the head of a reply says.
    pub fn head(&self, headers: &mut HeaderMap) {
        headers.insert(REQUEST_ID, digits(&hex(self.request_id)));
        headers.insert(LATENCY, digits(itoa::Buffer::new().format(millis(self.took)).as_bytes()));
        if let Some(budget) = &self.downgraded_by {
            headers.insert(DOWNGRADED_BY, text(budget.name.to_string()));
        }
        if let Some(decision) = self.decision() {
            headers.insert(ROUTING, text(decision.in_a_line()));
        }
        let Some(target) = &self.target else { return };
        headers.insert(PROVIDER, target.told.provider.clone());
        headers.insert(MODEL, target.told.model.clone());
        headers.insert(RETRIES, retries(self.attempts));
        if let Some(cost) = self.cost {
            headers.insert(COST, Usd(cost.total).with_text(digits));
        }
    }

    /// What comes behind a stream.
    pub fn trailers(&self) -> HeaderMap {
        let mut trailers = HeaderMap::with_capacity(2);
        trailers.insert(LATENCY, millis(self.took).into());
        if let Some(cost) = self.cost {
            trailers.insert(COST, Usd(cost.total).with_text(digits));
        }
        trailers
    }

    /// A JSON object with all that is known in its field `llm_gateway`, where that was asked for.
    pub fn in_body(&self, body: Bytes) -> Bytes {
        if self.explanation.is_none() {
            return body;
        }
        let whole = body.trim_ascii_end();
        let Some(open) = whole.strip_suffix(b"}") else { return body };
        let comma = if open.trim_ascii_end().ends_with(b"{") { "" } else { "," };
        let object = self.object();
        [open, comma.as_bytes(), br#""llm_gateway":"#, object.as_bytes(), b"}"].concat().into()
    }

    /// The same as the comment of a stream of events, where that was asked for.
    pub fn comment(&self) -> Option<Bytes> {
        self.explanation.as_ref()?;
        Some(format!(": llm_gateway {}\n\n", self.object()).into())
    }

    fn decision(&self) -> Option<&Decision> {
        self.explanation.as_ref()?.decision.as_deref()
    }

    fn object(&self) -> String {
        let labels = self.target.as_ref().map(|target| &target.labels);
        let trace = self.explanation.as_ref().and_then(|explanation| explanation.trace.as_ref());
        let decision = self.decision().map(|decision| Routing {
            decision,
            winner: labels.map(|labels| Winner { provider: &labels.provider, model: &labels.model }),
        });
        let told = Told {
            provider: labels.map(|labels| &*labels.provider),
            model: labels.map(|labels| &*labels.model),
            latency_ms: millis(self.took),
            cost: self.cost.map(|cost| ToldCost {
                input_cost: number(cost.input),
                output_cost: number(cost.output),
                total_cost: number(cost.total),
                currency: "USD",
            }),
            metadata: Metadata {
                routing_decision: decision,
                cache_status: "disabled",
                retry_count: self.attempts.saturating_sub(1),
                request_id: format!("{:016x}", self.request_id),
                trace_id: trace.map(|trace| &*trace.trace_id),
                span_id: trace.map(|trace| &*trace.span_id),
            },
        };
        // Text and numbers only: it can't fail.
        serde_json::to_string(&told).unwrap_or_else(|_| "null".to_owned())
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told<'a> {
    provider: Option<&'a str>,
    model: Option<&'a str>,
    latency_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    cost: Option<ToldCost>,
    metadata: Metadata<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToldCost {
    input_cost: Option<Box<RawValue>>,
    output_cost: Option<Box<RawValue>>,
    total_cost: Option<Box<RawValue>>,
    currency: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    routing_decision: Option<Routing<'a>>,
    cache_status: &'static str,
    retry_count: u8,
    request_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    span_id: Option<&'a str>,
}

#[derive(Serialize)]
struct Routing<'a> {
    #[serde(flatten)]
    decision: &'a Decision,
    winner: Option<Winner<'a>>,
}

#[derive(Serialize)]
struct Winner<'a> {
    provider: &'a str,
    model: &'a str,
}

/// A number of USD with all its places: a float would be another one.
fn number(nano_usd: u64) -> Option<Box<RawValue>> {
    RawValue::from_string(Usd(nano_usd).to_string()).ok()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A decision names what has been checked.
fn text(value: String) -> HeaderValue {
    HeaderValue::try_from(value).unwrap_or_else(|_| HeaderValue::from_static("-"))
}

fn digits(value: &[u8]) -> HeaderValue {
    HeaderValue::from_bytes(value).unwrap_or_else(|_| HeaderValue::from_static("-"))
}

/// Most calls have none, and their headers need no room of their own.
fn retries(attempts: u8) -> HeaderValue {
    match attempts.saturating_sub(1) {
        0 => HeaderValue::from_static("0"),
        retries => u64::from(retries).into(),
    }
}

/// Sixteen digits. Every reply has them: the formatter of the library costs several times as much.
pub fn hex(number: u64) -> [u8; 16] {
    std::array::from_fn(|i| b"0123456789abcdef"[(number >> (60 - 4 * i) & 15) as usize])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        Report {
            request_id: 7,
            target: None,
            attempts: 3,
            took: Duration::from_micros(1_999),
            cost: Some(Cost { input: 1, output: 2_000_000_000, total: 2_000_000_001 }),
            explanation: Some(Box::default()),
            downgraded_by: None,
        }
    }

    const OBJECT: &str = r#"{"provider":null,"model":null,"latencyMs":1,"cost":{"inputCost":0.000000001,"outputCost":2.000000000,"totalCost":2.000000001,"currency":"USD"},"metadata":{"cacheStatus":"disabled","retryCount":2,"requestId":"0000000000000007"}}"#;

    #[test]
    fn the_object_stands_in_any_object_and_nothing_else_is_touched() {
        let told = |body: &'static str| report().in_body(Bytes::from_static(body.as_bytes()));
        assert_eq!(told("{}"), format!(r#"{{"llm_gateway":{OBJECT}}}"#));
        assert_eq!(told("{ \"a\": {} }\n"), format!("{{ \"a\": {{}} ,\"llm_gateway\":{OBJECT}}}"));
        assert_eq!(told("[1]"), "[1]");
        assert_eq!(Report { explanation: None, ..report() }.in_body("{}".into()), "{}");
    }

    #[test]
    fn a_request_id_has_sixteen_digits() {
        assert_eq!(hex(0x0123_4567_89ab_cdef), *b"0123456789abcdef");
        assert_eq!(hex(10), *b"000000000000000a");
    }

    #[test]
    fn a_comment_is_one_line_and_an_end() {
        assert_eq!(report().comment(), Some(format!(": llm_gateway {OBJECT}\n\n").into()));
        assert_eq!(Report { explanation: None, ..report() }.comment(), None);
    }

    #[test]
    fn a_trace_is_read_as_the_w3c_writes_it() {
        let trace = |value: &'static str| {
            Trace::of(&HeaderMap::from_iter([(
                HeaderName::from_static("traceparent"),
                HeaderValue::from_static(value),
            )]))
        };
        let read = trace("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        assert_eq!(
            read,
            Some(Trace {
                trace_id: "0af7651916cd43dd8448eb211c80319c".into(),
                span_id: "b7ad6b7169203331".into()
            })
        );
        assert_eq!((trace("00-0af7-b7ad-01"), trace("x")), (None, None));
    }
}
