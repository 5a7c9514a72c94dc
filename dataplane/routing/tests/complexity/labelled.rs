//! The labelled calls as the file holds them: one a line, the call itself as a body of OpenAI's API,
//! because that is how it would come in. Apart from the tests, which differ.
#![expect(clippy::unwrap_used, reason = "a test's own file: what is wrong with it fails the test")]

use llm_dialect::{CallerApi as _, chat::Request, openai};
use llm_routing::complexity::Class;
use serde_json::Value;

pub struct Call {
    pub id: String,
    pub label: Class,
    /// Not to be looked at while weights are tuned.
    pub held_out: bool,
    pub request: Request,
}

/// Those that were there before any heuristic.
pub fn first() -> Vec<Call> {
    include_str!("prompts.jsonl").lines().map(call).collect()
}

/// Those that came later.
pub fn later() -> Vec<Call> {
    include_str!("later.jsonl").lines().map(call).collect()
}

fn call(line: &str) -> Call {
    let value: Value = serde_json::from_str(line).unwrap();
    let id = value["id"].as_str().unwrap().to_owned();
    let request = openai::Chat.read_request(value["request"].to_string().as_bytes());
    Call {
        label: value["label"].as_str().and_then(parse).unwrap(),
        held_out: value["held_out"] == true,
        request: request.map_err(|invalid| format!("{id}: {invalid:?}")).unwrap(),
        id,
    }
}

fn parse(label: &str) -> Option<Class> {
    Class::ALL.into_iter().find(|class| class.as_str() == label)
}
