//! The cells of the tables: a fault of a provider, met plain and streamed, alone and with a healthy spare.

use crate::{
    client::{End, Got, ask_for},
    providers::{FIRST_TOKEN, IDLE, REQUEST, good, pool, provider, route},
};
use harness::{Proxy, markdown};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::task::JoinSet;

/// How much later than its deadline a call may end on a machine that does other things too.
const SLACK: Duration = Duration::from_secs(2);
const SPARE: &str = "the spare";

/// A fault, and what each way of meeting it has to come to.
pub struct Row {
    pub fault: String,
    /// The provider that has it, without a spare's name; a model is set for each cell.
    pub url: String,
    /// Headers that the provider is sent besides.
    pub headers: Value,
    pub plain: Expect,
    pub streamed: Expect,
    pub plain_spared: Expect,
    pub streamed_spared: Expect,
}

/// What a cell has to come to.
#[derive(Clone, Debug)]
pub struct Expect {
    pub end: End,
    pub attempts: u64,
    pub when: When,
}

/// What ended the call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum When {
    AtOnce,
    AfterSecond,
    AfterFirstToken,
    AfterBothFirstTokens,
    AfterIdle,
    AtDeadline,
}

impl When {
    fn name(self) -> &'static str {
        match self {
            Self::AtOnce => "at once",
            Self::AfterSecond => "after Retry-After",
            Self::AfterFirstToken => "after firstTokenMs",
            Self::AfterBothFirstTokens => "after firstTokenMs twice",
            Self::AfterIdle => "after idleMs",
            Self::AtDeadline => "at requestMs",
        }
    }

    /// Not earlier than this: that is what the deadline is for.
    fn at_least(self) -> Duration {
        match self {
            Self::AtOnce => Duration::ZERO,
            Self::AfterSecond => Duration::from_secs(1),
            Self::AfterFirstToken => FIRST_TOKEN,
            Self::AfterBothFirstTokens => FIRST_TOKEN * 2,
            Self::AfterIdle => IDLE,
            Self::AtDeadline => REQUEST,
        }
    }

    /// And not later: a call that ends by something else than its deadline ends before that.
    fn at_most(self) -> Duration {
        if self == Self::AtDeadline { REQUEST + SLACK } else { REQUEST }
    }
}

impl Expect {
    pub fn spare(when: When) -> Self {
        Self { end: End::Answered(SPARE.to_owned()), attempts: 2, when }
    }

    pub fn answered(by: &str, when: When) -> Self {
        Self { end: End::Answered(by.to_owned()), attempts: 1, when }
    }

    pub fn failed(status: u16, code: &str, attempts: u64, when: When) -> Self {
        Self { end: End::Failed { status, code: code.to_owned() }, attempts, when }
    }

    /// The first byte has gone to the client: there is no other attempt.
    pub fn broken(code: &str, when: When) -> Self {
        Self { end: End::Broken { code: code.to_owned() }, attempts: 1, when }
    }
}

impl Row {
    /// A fault before the first byte: alone it fails so after two attempts, else the spare answers.
    pub fn passed_over(fault: &str, url: &str, status: u16, code: &str) -> Self {
        let alone = Expect::failed(status, code, 2, When::AtOnce);
        Self::of(fault, url, [alone.clone(), alone, Expect::spare(When::AtOnce), Expect::spare(When::AtOnce)])
    }

    /// A silence before the first byte: who streams is handed over, who does not has no time left.
    pub fn stalled(fault: &str, url: &str) -> Self {
        let plain = Expect::failed(504, "provider_timeout", 1, When::AtDeadline);
        let streamed = Expect::failed(504, "provider_first_token_timeout", 2, When::AfterBothFirstTokens);
        Self::of(fault, url, [plain.clone(), streamed, plain, Expect::spare(When::AfterFirstToken)])
    }

    /// A stream that has begun breaks with or without a spare.
    pub fn breaks(fault: &str, url: &str, plain: [Expect; 2], streamed: Expect) -> Self {
        let [alone, spared] = plain;
        Self::of(fault, url, [alone, streamed.clone(), spared, streamed])
    }

    pub fn of(fault: &str, url: &str, cells: [Expect; 4]) -> Self {
        let [plain, streamed, plain_spared, streamed_spared] = cells;
        Self {
            fault: fault.to_owned(),
            url: url.to_owned(),
            headers: json!({}),
            plain,
            streamed,
            plain_spared,
            streamed_spared,
        }
    }

    fn cells(&self) -> [(bool, bool, &Expect); 4] {
        [
            (false, false, &self.plain),
            (true, false, &self.streamed),
            (false, true, &self.plain_spared),
            (true, true, &self.streamed_spared),
        ]
    }

    /// The model by which a cell is asked for.
    pub fn model(fault: &str, streamed: bool, spared: bool) -> String {
        let fault: String = fault.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
        format!("{fault}-{streamed}-{spared}")
    }
}

/// A table, and what of it is not as expected.
pub struct Table {
    pub markdown: String,
    pub surprises: Vec<String>,
}

/// Meets every fault in every way, all at once, each by a model, a route and a pool of its own.
pub async fn meet(rows: &[Row]) -> Table {
    let spare = good(SPARE).await;
    let proxy = Proxy::start(&document(rows, spare.url()), &[]).await;
    let mut calls = JoinSet::new();
    for (streamed, spared, row) in
        rows.iter().flat_map(|row| row.cells().map(|(streamed, spared, _)| (streamed, spared, row)))
    {
        let (url, model) = (proxy.chat_url(), Row::model(&row.fault, streamed, spared));
        calls.spawn(async move { (model.clone(), ask_for(&url, &model, "Hello", streamed).await) });
    }
    let got = calls.join_all().await;
    let log = proxy.await_requests(got.len()).await;

    let mut table = vec![
        ["Fault", "plain, alone", "streamed, alone", "plain, with a spare", "streamed, with a spare"]
            .map(str::to_owned)
            .to_vec(),
    ];
    let mut surprises = Vec::new();
    for row in rows {
        let mut line = vec![row.fault.clone()];
        for (streamed, spared, expect) in row.cells() {
            let model = Row::model(&row.fault, streamed, spared);
            let (_, got) = got.iter().find(|(of, _)| *of == model).unwrap();
            let attempts = log.iter().find(|line| line["model"] == model).unwrap()["attempts"].as_u64();
            let cell = cell(got, attempts.unwrap(), expect);
            if let Err(cell) = &cell {
                surprises.push(format!("{model}: {cell}; expected {expect:?}"));
            }
            line.push(cell.unwrap_or_else(|cell| cell));
        }
        table.push(line);
    }
    Table { markdown: markdown(&table), surprises }
}

/// What stands in the table; an error when it is not what is expected.
fn cell(got: &Got, attempts: u64, expect: &Expect) -> Result<String, String> {
    let times = if attempts == 1 { "1 attempt".to_owned() } else { format!("{attempts} attempts") };
    let in_time = (expect.when.at_least()..expect.when.at_most()).contains(&got.took);
    if in_time && got.end == expect.end && attempts == expect.attempts {
        return Ok(format!("{}, {times}, {}", got.end, expect.when.name()));
    }
    Err(format!("✗ {}, {times}, after {} ms", got.end, got.took.as_millis()))
}

fn document(rows: &[Row], spare: &str) -> Value {
    let mut document = json!({"routes": {}, "pools": {}});
    for row in rows {
        for (streamed, spared, _) in row.cells() {
            let model = Row::model(&row.fault, streamed, spared);
            let name = format!("ai/{model}");
            let mut faulty = provider("faulty", &row.url, 0, &model);
            faulty["upstream"]["headers"] = row.headers.clone();
            let mut providers = vec![faulty];
            providers.extend(spared.then(|| provider("spare", spare, 1, &model)));
            document["routes"][&name] = route(&model, &name);
            document["pools"][&name] = pool(&providers);
        }
    }
    document
}
