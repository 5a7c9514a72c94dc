//! The faults that aimock plays, switched on while it runs: others' idea of how a provider fails.

use crate::cells::{Expect, Row, When};
use harness::Aimock;
use serde_json::{Value, json};

const TRUNCATES: &str = "truncates in mid-stream";
const TEXT: &str = "the mock";

/// The mock and a row for each of its faults, which strike the providers that name the row in a header.
pub async fn start() -> (Aimock, Vec<Row>) {
    let aimock = Aimock::start(fixtures()).await;
    let spare = || Expect::spare(When::AtOnce);
    let url = aimock.url();
    let limit = Expect::failed(429, "chaos_ratelimit", 2, When::AfterSecond);
    let well = || Expect::answered(TEXT, When::AtOnce);
    let cut = [well(), Expect::broken("stream_broken", When::AtOnce)];
    let faults = [
        (json!({"dropRate": 1}), Row::passed_over("500", url, 500, "chaos_drop")),
        (json!({"malformedRate": 1}), Row::passed_over("malformed JSON", url, 502, "provider_bad_reply")),
        (json!({"disconnectRate": 1}), Row::passed_over("disconnects", url, 502, "provider_closed")),
        (
            json!({"rateLimitRate": 1}),
            Row::of("429, Retry-After: 1", url, [limit.clone(), limit, spare(), spare()]),
        ),
        (json!({"latencyMs": 30_000}), Row::stalled("30 s of latency", url)),
        (json!({"latencyMs": 100}), Row::of("0.1 s of latency", url, [well(), well(), well(), well()])),
        (
            json!({}),
            Row::of(TRUNCATES, url, [cut[0].clone(), cut[1].clone(), cut[0].clone(), cut[1].clone()]),
        ),
    ];
    let mut rows = Vec::new();
    for (place, (fault, mut row)) in faults.into_iter().enumerate() {
        let scope = format!("fault-{place}");
        aimock.chaos(&scope, &fault).await;
        row.headers = json!({"x-test-id": scope});
        rows.push(row);
    }
    (aimock, rows)
}

fn fixtures() -> Value {
    let usage = json!({"prompt_tokens": 11, "completion_tokens": 2, "total_tokens": 13});
    let says = json!({"content": TEXT, "usage": usage});
    let truncated = [false, true].map(|spared| {
        let model = Row::model(TRUNCATES, true, spared);
        json!({"match": {"model": model}, "chunkSize": 2, "latency": 20, "truncateAfterChunks": 3, "response": says})
    });
    let mut fixtures = truncated.to_vec();
    fixtures.push(json!({"match": {"userMessage": "Hello"}, "response": says}));
    json!(fixtures)
}
