//! Why an answer ends, in OpenAI's words. OpenAI has none for a refusal: there the message's
//! `refusal` says it, beside the reason `stop`.

use crate::reply::Finish;

/// `calls`: the answer has tool calls; `refused`: it has a refusal.
pub fn read(reason: &str, calls: bool, refused: bool) -> Finish {
    match reason {
        // `model_length` is Mistral's word for the end of the window.
        "length" | "model_length" => Finish::Length,
        "content_filter" => Finish::ContentFilter,
        "tool_calls" | "function_call" => Finish::ToolCalls,
        // A call that was demanded by name ends with `stop`, as servers that are less careful do with
        // any call. The caller is to answer it all the same.
        _ if calls => Finish::ToolCalls,
        _ if refused => Finish::Refusal,
        _ => Finish::Stop,
    }
}

/// `refused`: the caller is shown the refusal's text.
pub fn write(finish: &Finish, refused: bool) -> &'static str {
    match finish {
        Finish::Stop | Finish::StopSequence(_) => "stop",
        Finish::Refusal if refused => "stop",
        // Without a text, `stop` would make a refusal look like an answer.
        Finish::Refusal | Finish::ContentFilter => "content_filter",
        Finish::ToolCalls => "tool_calls",
        // A turn that is to go on is no whole answer either.
        Finish::Length | Finish::Pause => "length",
    }
}
