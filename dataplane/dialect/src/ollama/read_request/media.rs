//! `images`: base64 without a word on what it is, so the first bytes have to say it.

use crate::{
    Invalid,
    chat::{Media, Part},
    json::Object,
};

/// What begins like this is that. Ollama takes sounds in `images` too.
const KINDS: [(&str, &str); 4] =
    [("iVBORw0KGgo", "image/png"), ("/9j/", "image/jpeg"), ("R0lGOD", "image/gif"), ("SUQz", "audio/mpeg")];

/// Takes `images` as parts.
pub fn media(fields: &mut Object<'_>) -> Result<Vec<Part>, Invalid> {
    let Some(images) = fields.take("images") else { return Ok(Vec::new()) };
    images
        .array()?
        .iter()
        .map(|node| {
            let data = node.string()?;
            let media_type = media_type(&data)
                .ok_or_else(|| {
                    node.invalid("it must be base64 of a PNG, JPEG, GIF or WebP, or of a WAV or MP3")
                })?
                .to_owned();
            let sounds = media_type.starts_with("audio/");
            let media = Media::Inline { media_type, data };
            Ok(if sounds { Part::Audio(media) } else { Part::Image(media) })
        })
        .collect()
}

fn media_type(data: &str) -> Option<&'static str> {
    // `RIFF`, four bytes of length, then the kind. Its first byte begins within a character of the
    // base64 that the length shares, so the comparison begins behind that.
    if data.starts_with("UklGR") {
        return match data.get(11..16)? {
            "XRUJQ" => Some("image/webp"),
            "XQVZF" => Some("audio/wav"),
            _ => None,
        };
    }
    KINDS.iter().find(|(begin, _)| data.starts_with(begin)).map(|(_, kind)| *kind)
}
