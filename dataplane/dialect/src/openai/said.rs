//! What OpenAI's APIs have no place for and is said in text, in all of them alike.

use std::borrow::Cow;

/// All that there is to say of a tool's failure that says nothing itself.
pub const ERROR: &str = "Error";

/// Makes the text of a tool's failure say that it is one, unless it does.
pub fn error(text: &mut Cow<'_, str>) {
    if !text.get(..ERROR.len()).is_some_and(|start| start.eq_ignore_ascii_case(ERROR)) {
        *text = format!("{ERROR}: {text}").into();
    }
}

/// A text document is a text, below its name.
pub fn document<'a>(name: Option<&str>, text: &'a str) -> Cow<'a, str> {
    name.map_or(Cow::Borrowed(text), |name| format!("{name}\n\n{text}").into())
}
