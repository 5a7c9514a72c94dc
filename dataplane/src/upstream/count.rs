//! Counting tokens for providers whose API does not count: by OpenAI's tokenizer, text only.

use llm_dialect::chat::{Media, Part, Request};
use tiktoken_rs::CoreBPE;

/// Bytes that are tokenized at a time.
const LONGEST_SLICE: usize = 64 * 1024;

/// Something that is not text and that only a provider could count; its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uncountable(pub &'static str);

/// The tokens of a call's text.
pub fn tokens(request: &Request) -> u64 {
    let tokenizer = tiktoken_rs::o200k_base_singleton();
    // OpenAI's own way to count a chat: a role is a token, three more frame each message, three start
    // the answer.
    let mut tokens = 3;
    for message in &request.messages {
        tokens += 4 + message.parts.iter().map(|part| of_part(tokenizer, part)).sum::<u64>();
    }
    for tool in &request.tools {
        let parameters = tool.parameters.as_ref().map(|parameters| parameters.get());
        let texts = [Some(tool.name.as_str()), tool.description.as_deref(), parameters];
        tokens += 3 + texts.into_iter().flatten().map(|text| of_text(tokenizer, text)).sum::<u64>();
    }
    tokens
}

/// The tokens of a text. Long ones are counted in slices: the tokenizer's regular expressions keep a
/// mark for each character of a run of blanks, and panic where these are too many.
pub fn of_text(tokenizer: &CoreBPE, text: &str) -> u64 {
    slices(text).map(|slice| tokenizer.encode_ordinary(slice).len() as u64).sum()
}

/// The text in slices that the tokenizer can bear.
pub fn slices(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let end = rest.floor_char_boundary(LONGEST_SLICE.min(rest.len()));
        let (slice, after) = rest.split_at(end);
        rest = after;
        (!slice.is_empty()).then_some(slice)
    })
}

/// Runs what takes longer than a worker's other calls should wait; `None` when it panicked.
pub async fn off_worker<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}

/// The first thing in a call that is not text.
pub fn uncountable(request: &Request) -> Option<Uncountable> {
    request.messages.iter().flat_map(|message| &message.parts).find_map(not_text)
}

fn not_text(part: &Part) -> Option<Uncountable> {
    match part {
        Part::Image(_) => Some(Uncountable("an image")),
        Part::Audio(_) => Some(Uncountable("audio")),
        Part::Video(_) => Some(Uncountable("a video")),
        Part::Document { media: Media::Text(_), .. } => None,
        Part::Document { .. } => Some(Uncountable("a document")),
        Part::ToolResult(result) => result.content.iter().find_map(not_text),
        Part::Text(_) | Part::Refusal(_) | Part::Reasoning { .. } | Part::ToolCall(_) => None,
    }
}

fn of_part(tokenizer: &CoreBPE, part: &Part) -> u64 {
    match part {
        Part::Text(text) | Part::Refusal(text) | Part::Reasoning { text, .. } => of_text(tokenizer, text),
        Part::Document { media: Media::Text(text), .. } => of_text(tokenizer, text),
        Part::ToolCall(call) => 3 + of_text(tokenizer, &call.name) + of_text(tokenizer, &call.arguments),
        Part::ToolResult(result) => {
            3 + result.content.iter().map(|part| of_part(tokenizer, part)).sum::<u64>()
        }
        Part::Image(_) | Part::Audio(_) | Part::Video(_) | Part::Document { .. } => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use llm_dialect::chat::{Message, Role};

    fn asked(parts: Vec<Part>) -> Request {
        Request { messages: vec![Message { role: Role::User, parts }], ..Request::default() }
    }

    #[test]
    fn text_is_counted_and_a_picture_is_not_guessed_at() {
        let text = asked(vec![Part::Text("hello world".to_owned())]);
        assert_eq!((tokens(&text), uncountable(&text)), (3 + 4 + 2, None));
        let image = Part::Image(Media::Url { url: "https://x/y.png".to_owned(), media_type: None });
        assert_eq!(uncountable(&asked(vec![image])), Some(Uncountable("an image")));
    }

    #[test]
    fn megabytes_of_blanks_are_counted_and_no_character_is_cut() {
        let blanks = asked(vec![Part::Text(" ".repeat(3 << 20))]);
        assert!(tokens(&blanks) > 7);
        let text = "ü".repeat(LONGEST_SLICE);
        assert_eq!(slices(&text).collect::<String>(), text);
    }
}
