//! What the estimate promises whatever its weights are. How well they tell calls apart is measured by
//! the labelled set.
#![expect(clippy::unwrap_used, reason = "tests")]

use llm_dialect::chat::{
    Effort, Media, Message, Output, OutputSchema, Part, Reasoning, ReasoningAmount, Request, Role, Tool,
    ToolCall, ToolResult,
};
use proptest::prelude::*;

use super::{Class, Estimate, Signal, Thresholds, estimate, talk::MESSAGES, words::stems};

fn message(role: Role, text: &str) -> Message {
    Message { role, parts: vec![Part::Text(text.to_owned())] }
}

fn talk(messages: Vec<Message>) -> Request {
    Request { messages, ..Request::default() }
}

fn asked(text: &str) -> Estimate {
    estimate(&talk(vec![message(Role::User, text)]))
}

fn of(estimate: &Estimate, signal: Signal) -> f64 {
    estimate.signals().find(|(found, _)| *found == signal).map_or(0.0, |(_, contribution)| contribution)
}

fn step(result: &str) -> [Message; 2] {
    let call = ToolCall { id: "c".into(), name: "look".into(), arguments: "{}".into(), seal: None };
    let content = vec![Part::Text(result.to_owned())];
    let result = ToolResult { id: "c".into(), name: "look".into(), content, is_error: false };
    [
        Message { role: Role::Assistant, parts: vec![Part::ToolCall(call)] },
        Message { role: Role::User, parts: vec![Part::ToolResult(result)] },
    ]
}

fn image() -> Part {
    Part::Image(Media::Url { url: "https://example.com/a.png".into(), media_type: None })
}

#[test]
fn a_call_without_messages_is_simple() {
    let nothing = estimate(&Request::default());
    assert_eq!(Thresholds::default().classify(nothing.score()), Class::Simple);
    assert_eq!(nothing.to_string(), "0.10 = base 0.10");
}

#[test]
fn a_threshold_belongs_to_the_class_above() {
    let thresholds = Thresholds { simple: 0.2, medium: 0.5 };
    let told = [0.0, 0.19, 0.2, 0.49, 0.5, 1.0].map(|score| thresholds.classify(score).as_str());
    assert_eq!(told, ["simple", "simple", "medium", "medium", "complex", "complex"]);
}

#[test]
fn signals_stand_in_the_order_of_their_list() {
    assert!(Signal::ALL.into_iter().enumerate().all(|(index, signal)| signal as usize == index));
}

#[test]
fn stems_are_in_lower_case_and_said_once() {
    let stems = stems();
    for (index, stem) in stems.iter().enumerate() {
        let text = str::from_utf8(stem.text).unwrap();
        assert_eq!(text, text.to_ascii_lowercase());
        assert!(stem.weight != 0, "{text}");
        assert!(stems[..index].iter().all(|earlier| earlier.text != stem.text), "{text}");
    }
}

#[test]
fn signals_sum_up_to_the_score() {
    let estimate = asked("Explain why x^2 + 1 has no real root, in one sentence.");
    let sum: f64 = estimate.signals().map(|(_, contribution)| contribution).sum();
    assert!((sum - estimate.score()).abs() < 1e-12, "{estimate}");
    assert!(of(&estimate, Signal::Maths) > 0.0 && of(&estimate, Signal::EasyWords) < 0.0, "{estimate}");
}

#[test]
fn words_are_matched_at_their_start_whatever_the_case() {
    let hard = |text| of(&asked(text), Signal::HardWords);
    assert!(hard("DESIGN it") > 0.0);
    assert_eq!(hard("design it"), hard("Design it"));
    assert_eq!(hard("redesign it"), 0.0, "a word inside a word");
    assert_eq!(hard("design it, design it"), hard("design it, do so"), "a word counts once");
    assert_eq!(of(&asked("history"), Signal::EasyWords), 0.0, "`hi` is a word of its own");
    assert!(of(&asked("hi there"), Signal::EasyWords) < 0.0);
    assert!(hard("démontrez-le") > 0.0 && hard("évaluez-le") > 0.0);
    assert!(hard("请你证明它") > 0.0, "no space is before it");
}

#[test]
fn a_question_in_a_script_without_words_is_not_sent_to_the_cheapest_model() {
    for text in
        ["Докажите, что множество простых чисел бесконечно.", "素数が無限に存在することを証明してください。"]
    {
        let estimate = asked(text);
        assert_ne!(Thresholds::default().classify(estimate.score()), Class::Simple, "{estimate}");
    }
    assert_eq!(of(&asked("请证明：素数有无穷多个，über Äpfel"), Signal::Unread), 0.0);
    assert_eq!(of(&asked("先写，再改；好、行"), Signal::Clauses), of(&asked("a, b; c, d"), Signal::Clauses));
}

#[test]
fn what_a_task_is_about_is_no_task() {
    let paste = "Prove that the architecture is correct. ".repeat(40);
    for text in [
        format!("Fix the typos in this text:\n\n{paste}"),
        format!("Fix the typos in this text:\n{paste}"),
        format!("Fix the typos in this text.\n\n```\n{paste}\n```"),
    ] {
        let estimate = asked(&text);
        assert_eq!(of(&estimate, Signal::HardWords), 0.0, "{estimate}");
        assert!(of(&estimate, Signal::Material) > 0.0, "{estimate}");
    }
}

#[test]
fn a_task_is_found_behind_what_it_is_about() {
    let paste = "The boat left at dawn and came home at noon. ".repeat(2000);
    let greeting = "Dear model,\n\nprove that the boat is fast.";
    let behind = format!("{paste}\n\nProve that the boat is fast.");
    let below = format!("{paste}\nProve that the boat is fast.");
    for text in [greeting, &behind, &below] {
        assert!(of(&asked(text), Signal::HardWords) > 0.0);
    }
    let mut parts = vec![Part::Text(paste); 3];
    parts.push(Part::Text("Prove that the boat is fast.".into()));
    let parts = estimate(&talk(vec![Message { role: Role::User, parts }]));
    assert!(of(&parts, Signal::HardWords) > 0.0, "{parts}");
}

#[test]
fn results_of_tools_count_as_steps_and_not_by_their_length() {
    let after = |result: &str| {
        let mut messages = vec![message(Role::User, "Where is my parcel?")];
        messages.extend(step(result));
        estimate(&talk(messages))
    };
    assert_eq!(after("here"), after(&"Prove that x^2 = 4;".repeat(1000)));
    assert!(of(&after("here"), Signal::Steps) > 0.0);
}

#[test]
fn a_new_message_of_the_user_ends_the_steps() {
    let mut messages = vec![message(Role::User, "Where is my parcel?")];
    messages.extend(step("here"));
    messages.push(message(Role::User, "And the other?"));
    let estimate = estimate(&talk(messages));
    assert_eq!(of(&estimate, Signal::Steps), 0.0, "{estimate}");
    assert!(of(&estimate, Signal::History) > 0.0, "{estimate}");
}

#[test]
fn the_first_system_prompt_is_seen_before_a_long_talk() {
    let mut messages = vec![message(Role::System, "Answer with one word.")];
    messages.extend((0..2 * MESSAGES).map(|_| message(Role::User, "Is it?")));
    let estimate = estimate(&talk(messages));
    assert!(of(&estimate, Signal::EasyWords) < 0.0, "{estimate}");
}

#[test]
fn a_limit_of_a_few_tokens_speaks_of_an_errand_unless_the_model_thinks() {
    let reasoning = Reasoning { amount: ReasoningAmount::Effort(Effort::High), shown: None };
    let mut request = talk(vec![message(Role::User, "Is it?")]);
    request.max_tokens = Some(16);
    assert!(of(&estimate(&request), Signal::ShortAnswer) < 0.0);
    request.reasoning = Some(reasoning);
    assert_eq!(of(&estimate(&request), Signal::ShortAnswer), 0.0);
}

/// Ways to ask for more.
fn harder(request: &mut Request, way: usize) {
    let schema = serde_json::value::RawValue::from_string(r#"{"type":"object"}"#.to_owned()).unwrap();
    match way {
        0 => request.messages.insert(0, message(Role::Assistant, "So it is.")),
        1 => request.messages.extend(step("done")),
        2 => {
            let asked = |message: &&mut Message| {
                matches!(message.parts[0], Part::Text(_)) && message.role == Role::User
            };
            request.messages.iter_mut().find(asked).unwrap().parts.push(image());
        }
        3 => request.tools.push(Tool { name: "a".into(), description: None, parameters: None, strict: None }),
        4 => {
            let shown = None;
            request.reasoning = Some(Reasoning { amount: ReasoningAmount::Budget(30_000), shown });
        }
        _ => {
            let name = String::new();
            request.output =
                Output::JsonSchema(OutputSchema { name, description: None, schema, strict: None });
        }
    }
}

proptest! {
    #[test]
    fn any_text_has_one_score_in_bounds(text in any::<String>(), system in any::<String>(), times in 1..200_usize) {
        let text = text.repeat(times);
        let request = talk(vec![message(Role::System, &system), message(Role::User, &text)]);
        let score = estimate(&request).score();
        prop_assert!(score.is_finite() && (0.0..=1.0).contains(&score));
        prop_assert_eq!(estimate(&request), estimate(&request));
    }

    #[test]
    fn any_mixture_of_what_is_looked_for_has_one_score_in_bounds(
        pieces in prop::collection::vec(
            prop::sample::select(vec!["```", "\n\n", ":\n", "：\n", "\\frac", "∑", "^", "\\", "prove that", "证明", "é", ",", "7", "hi", "\u{e2}"]),
            0..400,
        ),
        max_tokens in prop::option::of(0..200_u64),
    ) {
        let mut request = talk(vec![message(Role::User, &pieces.concat())]);
        request.max_tokens = max_tokens;
        let score = estimate(&request).score();
        prop_assert!(score.is_finite() && (0.0..=1.0).contains(&score));
    }

    #[test]
    fn asking_for_more_is_never_easier(text in "[a-z ,.]{0,200}", ways in prop::collection::vec(0..6_usize, 1..8)) {
        let mut request = talk(vec![message(Role::User, &text)]);
        let mut before = estimate(&request).score();
        for way in ways {
            harder(&mut request, way);
            let now = estimate(&request).score();
            prop_assert!(now >= before, "{} after {}", now, before);
            before = now;
        }
    }

    #[test]
    fn more_of_the_same_material_is_never_easier(short in 1..500_usize, more in 1..500_usize) {
        let ask = |times| asked(&format!("Say what this is about:\n\n{}", "a = b; ".repeat(times))).score();
        prop_assert!(ask(short + more) >= ask(short));
    }
}
