//! What is seen of a conversation, whatever it was read into: who says how much, and what the user asks now.

use llm_dialect::chat::{Media, Message, Part, PlainMessage, Role};

use super::scan::Found;

/// The most messages that are looked at, from the end, and the most parts of one.
pub(super) const MESSAGES: usize = 128;
const PARTS: usize = 32;

#[derive(Debug, Default)]
pub(super) struct Talk {
    /// The last message in which the user says something.
    pub asked: Found,
    pub images: usize,
    pub documents: usize,
    pub system: Found,
    /// Calls of tools behind the last message of the user.
    pub steps: usize,
    /// Messages before it, without system messages.
    pub turns: usize,
    /// Bytes of their text.
    pub history: usize,
}

/// A message of a conversation.
pub(super) trait Said {
    fn role(&self) -> Role;
    fn pieces(&self) -> impl Iterator<Item = Piece<'_>>;
}

#[derive(Clone, Copy)]
pub(super) enum Piece<'a> {
    Text(&'a [u8]),
    Image,
    /// A document of so many bytes of text.
    Written(usize),
    /// A document, a sound or a video that can't be read.
    Closed,
    ToolCall,
    ToolResult,
    /// Thoughts, and what the model would not say.
    Other,
}

impl Said for Message {
    fn role(&self) -> Role {
        self.role
    }

    fn pieces(&self) -> impl Iterator<Item = Piece<'_>> {
        self.parts.iter().map(|part| match part {
            Part::Text(text) => Piece::Text(text.as_bytes()),
            Part::Image(_) => Piece::Image,
            Part::Document { media: Media::Text(text), .. } => Piece::Written(text.len()),
            Part::Document { .. } | Part::Audio(_) | Part::Video(_) => Piece::Closed,
            Part::ToolCall(_) => Piece::ToolCall,
            Part::ToolResult(_) => Piece::ToolResult,
            Part::Reasoning { .. } | Part::Refusal(_) => Piece::Other,
        })
    }
}

impl Said for PlainMessage<'_> {
    fn role(&self) -> Role {
        self.role
    }

    fn pieces(&self) -> impl Iterator<Item = Piece<'_>> {
        self.texts.iter().map(|text| Piece::Text(text))
    }
}

impl Talk {
    pub fn of(messages: &[impl Said]) -> Self {
        let mut talk = Self::default();
        let mut asked = false;
        let (early, late) = messages.split_at(messages.len().saturating_sub(MESSAGES));
        for message in late.iter().rev() {
            match message.role() {
                Role::System => talk.system(message),
                Role::User if !asked && says(message) => {
                    asked = true;
                    talk.ask(message);
                }
                _ if asked => talk.earlier(message),
                _ => talk.steps += pieces(message).filter(|piece| matches!(piece, Piece::ToolCall)).count(),
            }
        }
        talk.turns += early.len();
        if let Some(first) = early.first().filter(|first| first.role() == Role::System) {
            talk.system(first);
        }
        talk
    }

    fn ask(&mut self, message: &impl Said) {
        // A question that stands behind long texts comes before the bound is reached.
        if let Some(last) = texts(message).last() {
            self.asked.look(last);
        }
        let others = texts(message).count().saturating_sub(1);
        texts(message).take(others).for_each(|text| self.asked.look(text));
        for piece in pieces(message) {
            match piece {
                Piece::Image => self.images += 1,
                Piece::Written(length) => self.asked.material += length,
                Piece::Closed => self.documents += 1,
                Piece::Text(_) | Piece::ToolCall | Piece::ToolResult | Piece::Other => {}
            }
        }
    }

    fn system(&mut self, message: &impl Said) {
        texts(message).for_each(|text| self.system.look(text));
    }

    fn earlier(&mut self, message: &impl Said) {
        self.turns += 1;
        self.history += texts(message).map(<[u8]>::len).sum::<usize>();
    }
}

fn pieces(message: &impl Said) -> impl Iterator<Item = Piece<'_>> {
    message.pieces().take(PARTS)
}

fn texts(message: &impl Said) -> impl Iterator<Item = &[u8]> {
    pieces(message).filter_map(|piece| if let Piece::Text(text) = piece { Some(text) } else { None })
}

/// Whether the user says something, beside giving results of tools.
fn says(message: &impl Said) -> bool {
    pieces(message).any(|piece| !matches!(piece, Piece::ToolResult))
}
