//! Where the bytes of pictures, sounds and documents are, in the words of message parts: data URLs and
//! the formats of audio.

use std::borrow::Cow;

use crate::chat::Media;

/// Reads a URL; `None` for what is neither a data URL in base64 nor the URL of something elsewhere.
pub fn read_url(url: &str) -> Option<Media> {
    match url.strip_prefix("data:") {
        Some(data) => {
            let (head, data) = data.split_once(',')?;
            let media_type = head.strip_suffix(";base64")?.split(';').next().unwrap_or_default();
            // RFC 2397: without a type it is text.
            let media_type = if media_type.is_empty() { "text/plain" } else { media_type };
            Some(Media::Inline { media_type: media_type.to_owned(), data: data.to_owned() })
        }
        None => url.contains("://").then(|| Media::Url { url: url.to_owned(), media_type: None }),
    }
}

/// The URL of what is in the request or elsewhere; a text as it is.
pub fn write_url(media: &Media) -> Cow<'_, str> {
    match media {
        Media::Inline { media_type, data } => format!("data:{media_type};base64,{data}").into(),
        Media::Url { url, .. } => url.into(),
        Media::Text(text) => text.into(),
    }
}

/// The media type of an audio format. `audio/mp3` is the name that Gemini documents.
pub fn read_audio_format(format: &str) -> String {
    format!("audio/{format}")
}

/// OpenAI's name for the format of a media type: it knows `wav` and `mp3`.
pub fn write_audio_format(media_type: &str) -> &str {
    let format = media_type.strip_prefix("audio/").unwrap_or(media_type);
    match format {
        "mpeg" | "mp3" | "x-mp3" => "mp3",
        "wav" | "wave" | "x-wav" | "vnd.wave" => "wav",
        other => other,
    }
}

/// Documents by the end of their names: OpenAI tells the type by the name.
const DOCUMENTS: [(&str, &str); 6] = [
    (".pdf", "application/pdf"),
    (".txt", "text/plain"),
    (".md", "text/markdown"),
    (".html", "text/html"),
    (".csv", "text/csv"),
    (".json", "application/json"),
];

/// A name for a document that came without one.
pub fn name_of_type(media_type: &str) -> String {
    let end = DOCUMENTS.iter().find(|(_, known)| *known == media_type).map_or("", |(end, _)| end);
    format!("document{end}")
}

/// The media type of a document that came without one; most are PDFs, which OpenAI took first.
pub fn type_of_name(name: &str) -> &'static str {
    let name = name.to_ascii_lowercase();
    DOCUMENTS.iter().find(|(end, _)| name.ends_with(end)).map_or("application/pdf", |(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_url_is_taken_apart_and_put_together() {
        let inline =
            |media_type: &str| Media::Inline { media_type: media_type.to_owned(), data: "QQ==".to_owned() };
        assert_eq!(read_url("data:image/png;base64,QQ=="), Some(inline("image/png")));
        assert_eq!(read_url("data:text/html;charset=utf-8;base64,QQ=="), Some(inline("text/html")));
        assert_eq!(read_url("data:;base64,QQ=="), Some(inline("text/plain")));
        assert_eq!(write_url(&inline("image/png")), "data:image/png;base64,QQ==");
        let url = "https://example.com/a.png";
        assert_eq!(read_url(url).as_ref().map(write_url).as_deref(), Some(url));
        for none in ["data:image/png,QQ==", "data:", "QQ==", ""] {
            assert_eq!(read_url(none), None, "{none}");
        }
    }

    #[test]
    fn audio_formats_go_by_many_media_types() {
        for format in ["wav", "mp3", "flac"] {
            assert_eq!(write_audio_format(&read_audio_format(format)), format);
        }
        assert_eq!(write_audio_format("audio/mpeg"), "mp3");
        assert_eq!(write_audio_format("audio/x-wav"), "wav");
    }
}
