//! What the simulated provider says: sentences that take up words of the question.

use std::hash::{DefaultHasher, Hash, Hasher};

/// A number that is the same for the same messages.
pub fn digest(messages: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    messages.hash(&mut hasher);
    hasher.finish()
}

const OPENINGS: [&str; 6] = [
    "You asked about {}.",
    "Let me think about {} for a moment.",
    "Good question: {} deserves a careful answer.",
    "Here is a simulated view of {}.",
    "Nobody was asked about {}, but an answer comes all the same.",
    "As for {}, a real model would know more than I do.",
];

const BODIES: [&str; 10] = [
    "The short version is that {} depends on what you measure.",
    "Most people who work with {} start small and keep notes.",
    "There are three things to say about {}, and two of them are about time.",
    "When {} goes wrong, it is mostly at the edges.",
    "A table of costs would show {} in the middle of the page.",
    "If {} matters to you, write down what you expect before you look.",
    "Compared with last year, {} has become easier to observe.",
    "It helps to separate {} from the reasons people give for it.",
    "One could ask three providers about {} and get four answers.",
    "The usual advice on {} is to change one thing at a time.",
];

const CLOSINGS: [&str; 4] = [
    "This text was made up by the gateway; no model was called.",
    "Point the pool at a real provider to learn more.",
    "No tokens were paid for in the making of this answer.",
    "That is all a simulation can say.",
];

/// An answer to `question`, of two to eight sentences.
pub fn answer(question: &str, chance: &mut fastrand::Rng) -> String {
    let words: Vec<&str> = question
        .split_whitespace()
        .map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()))
        .filter(|word| !word.is_empty() && word.chars().count() <= 40)
        .collect();
    let topic = |chance: &mut fastrand::Rng| match words.len() {
        0 => "that".to_owned(),
        len => {
            let from = chance.usize(0..len);
            let to = (from + chance.usize(1..=3)).min(len);
            format!("“{}”", words[from..to].join(" "))
        }
    };
    let mut sentences = vec![OPENINGS[chance.usize(0..OPENINGS.len())].replace("{}", &topic(chance))];
    for _ in 0..chance.usize(0..=6) {
        sentences.push(BODIES[chance.usize(0..BODIES.len())].replace("{}", &topic(chance)));
    }
    sentences.push(CLOSINGS[chance.usize(0..CLOSINGS.len())].to_owned());
    sentences.join(" ")
}

/// What is thought before the answer.
pub fn thinking(question: &str) -> String {
    let words = question.split_whitespace().count();
    format!(
        "The question has {words} words. A simulated answer should take up some of them, and say what it is."
    )
}
