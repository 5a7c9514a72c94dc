//! What the fields of Anthropic's API add.

use memchr::memmem;

use super::asked::{Adds, Asked, pass, wishes};
use crate::skim::Skim;

/// What the vendor says of a tool to the model where the caller names only its type. The most that it
/// publishes is 735 tokens and a system prompt of 499 for `computer_*`; 700 for `text_editor_*`, 245
/// for `bash_*` (docs, "Pricing", tool use).
const VENDORS_TOOL: u64 = 1_536;

pub fn messages(field: &[u8]) -> Adds {
    match field {
        b"messages" => Adds::In(turn),
        b"system" => Adds::In(block_field),
        b"max_tokens" => Adds::LimitFromZero,
        b"tools" => Adds::By(tools),
        b"output_config" | b"output_format" => Adds::Rendered,
        b"container" | b"mcp_servers" | b"fallbacks" | b"fallback" => Adds::Loops,
        b"context_management" => Adds::By(context_management),
        b"model" | b"stream" | b"tool_choice" | b"metadata" | b"stop_sequences" | b"temperature"
        | b"top_k" | b"top_p" | b"service_tier" | b"thinking" | b"cache_control" | b"inference_geo"
        | b"speed" => Adds::Nothing,
        _ => Adds::Beyond,
    }
}

fn turn(field: &[u8]) -> Adds {
    match field {
        b"role" => Adds::Nothing,
        b"content" => Adds::By(blocks),
        _ => Adds::Beyond,
    }
}

fn blocks(skim: &mut Skim<'_>, asked: &mut Asked) -> Option<()> {
    match skim.first() {
        b'[' => skim.array(|skim| blocks(skim, asked)),
        b'{' => block(skim, asked),
        _ => skim.value(),
    }
}

/// A block. What its `source` is, its type says, which may come behind it.
fn block(skim: &mut Skim<'_>, asked: &mut Asked) -> Option<()> {
    let mut kind: &[u8] = b"";
    let mut media = false;
    skim.object(|name, skim| match name.as_ref() {
        b"type" => {
            kind = skim.raw()?;
            Some(())
        }
        b"source" if skim.first() == b'{' => {
            media |= is_media(skim, asked)?;
            Some(())
        }
        _ => pass(block_field(&name), &name, skim, asked),
    })?;
    match kind {
        _ if !media => {}
        b"\"image\"" => asked.images += 1,
        // A PDF holds pages of text packed as tightly as somebody likes.
        _ => asked.beyond(b"source"),
    }
    Some(())
}

/// Passes a source and says whether it is anything but text.
fn is_media(skim: &mut Skim<'_>, asked: &mut Asked) -> Option<bool> {
    let mut media = true;
    skim.object(|name, skim| match name.as_ref() {
        b"type" => {
            media = !matches!(skim.raw()?, b"\"text\"" | b"\"content\"");
            Some(())
        }
        b"content" => blocks(skim, asked),
        _ => skim.value(),
    })?;
    Some(media)
}

fn block_field(field: &[u8]) -> Adds {
    match field {
        b"content" => Adds::By(blocks),
        b"input" => Adds::Rendered,
        b"type" | b"text" | b"id" | b"name" | b"title" | b"context" | b"citations" | b"cache_control"
        | b"tool_use_id" | b"is_error" | b"thinking" | b"signature" | b"data" | b"caller" | b"source"
        | b"url" | b"encrypted_content" | b"encrypted_index" | b"page_age" | b"tool_name" => Adds::Nothing,
        _ => Adds::Beyond,
    }
}

/// Tools are the caller's own, or have a dated type that the vendor knows.
fn tools(skim: &mut Skim<'_>, asked: &mut Asked) -> Option<()> {
    let raw = skim.text_of(|skim| match skim.first() {
        b'[' => skim.array(|skim| match skim.first() {
            b'{' => skim.object(|name, skim| {
                let raw = skim.raw()?;
                match raw {
                    _ if name.as_ref() != b"type" => {}
                    b"\"custom\"" | b"null" => {}
                    _ if ["bash_", "text_editor_", "computer_"].iter().any(|kind| named(raw, kind)) => {
                        asked.vendors_tools += VENDORS_TOOL;
                    }
                    _ if named(raw, "memory_") => asked.beyond(b"tools"),
                    _ => asked.loops(b"tools"),
                }
                Some(())
            }),
            _ => skim.value(),
        }),
        _ => skim.value(),
    })?;
    asked.tools |= wishes(raw);
    asked.rendered += raw.len() as u64;
    Some(())
}

fn named(raw: &[u8], start: &str) -> bool {
    raw.strip_prefix(b"\"").is_some_and(|name| name.starts_with(start.as_bytes()))
}

/// Edits take out of what is there; to compact it asks the model once more.
fn context_management(skim: &mut Skim<'_>, asked: &mut Asked) -> Option<()> {
    let raw = skim.raw()?;
    if memmem::find(raw, b"compact").is_some() || memchr::memchr(b'\\', raw).is_some() {
        asked.loops(b"context_management");
    }
    Some(())
}
