//! A caller's request, where it is a conversation of text alone. It is skimmed in one pass, and nothing is copied but texts
//! with escapes.

use std::borrow::Cow;

use smallvec::{SmallVec, smallvec};

use crate::{
    chat::{Plain, PlainMessage, Role},
    skim::{self, Skim},
};

/// `None` where more than text may be wanted, or what is read here is not as it must be. What says nothing of how hard a call
/// is may be wrong: that is told by [`request::read`](super::request::read), where somebody needs it.
pub fn read(body: &[u8]) -> Option<Plain<'_>> {
    let (mut messages, mut limit) = (None, None);
    skim::whole(body, |skim| {
        skim.object(|name, skim| match name.as_ref() {
            b"messages" if messages.is_none() => {
                let messages = messages.insert(Vec::with_capacity(4));
                skim.array(|skim| {
                    messages.push(message(skim)?);
                    Some(())
                })
            }
            b"max_tokens" | b"max_completion_tokens" if limit.is_none() => {
                limit = Some(skim.count()?);
                Some(())
            }
            b"messages" | b"max_tokens" | b"max_completion_tokens" => None,
            // Each says how hard a call is.
            b"tools" | b"response_format" | b"reasoning_effort" => skim.optional(|_| None::<()>).map(|_| ()),
            _ => skim.value(),
        })
    })?;
    Some(Plain { messages: messages?, max_tokens: limit.flatten() })
}

fn message<'a>(skim: &mut Skim<'a>) -> Option<PlainMessage<'a>> {
    let (mut role, mut texts) = (None, None);
    skim.object(|name, skim| match name.as_ref() {
        b"role" if role.is_none() => {
            role = Some(match skim.raw()? {
                b"\"system\"" | b"\"developer\"" => Role::System,
                b"\"user\"" => Role::User,
                b"\"assistant\"" => Role::Assistant,
                _ => return None,
            });
            Some(())
        }
        b"content" if texts.is_none() => {
            texts = Some(content(skim)?);
            Some(())
        }
        // Beside its text a message may have calls of tools, thoughts, and what is not known here.
        _ => None,
    })?;
    let message = PlainMessage { role: role?, texts: texts? };
    // Of several texts of an answer, those that are empty count for nothing.
    let is_kept = message.role != Role::Assistant || message.texts.len() == 1;
    (is_kept || message.texts.iter().all(|text| !text.is_empty())).then_some(message)
}

fn content<'a>(skim: &mut Skim<'a>) -> Option<SmallVec<[Cow<'a, [u8]>; 1]>> {
    if skim.first() != b'[' {
        return Some(smallvec![skim.unescaped()?]);
    }
    let mut texts = SmallVec::new();
    skim.array(|skim| {
        let (mut is_text, mut text) = (false, None);
        skim.object(|name, skim| match name.as_ref() {
            b"type" if !is_text => {
                is_text = skim.raw()? == b"\"text\"";
                is_text.then_some(())
            }
            b"text" if text.is_none() => {
                text = Some(skim.unescaped()?);
                Some(())
            }
            _ => None,
        })?;
        texts.push(text.filter(|_| is_text)?);
        Some(())
    })?;
    Some(texts)
}
