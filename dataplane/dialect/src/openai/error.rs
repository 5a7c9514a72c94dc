//! Errors, as OpenAI writes them and as compatible servers do.

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, de::IgnoredAny};
use serde_json::value::RawValue;

use crate::{Fault, FaultKind, json, skim, tap};

/// As much of a body that is no JSON as is worth showing.
const MAX_MESSAGE_CHARS: usize = 500;

/// The body of an error reply.
#[must_use]
pub fn error_body(fault: &Fault) -> Bytes {
    #[derive(Serialize)]
    struct Body<'a> {
        error: Object<'a>,
    }
    #[derive(Serialize)]
    struct Object<'a> {
        message: &'a str,
        r#type: &'static str,
        param: Option<&'a str>,
        code: Option<&'a str>,
    }
    let (kind, code) = names(fault.kind);
    json::to_bytes(&Body {
        error: Object {
            message: &fault.message,
            r#type: kind,
            param: fault.param.as_deref(),
            code: fault.code.as_deref().or(code),
        },
    })
}

/// OpenAI's type of a kind, and the code by which clients tell it where they look at that instead.
fn names(kind: FaultKind) -> (&'static str, Option<&'static str>) {
    match kind {
        FaultKind::InvalidRequest | FaultKind::NotFound | FaultKind::TooLarge => {
            ("invalid_request_error", None)
        }
        FaultKind::Authentication => ("authentication_error", None),
        FaultKind::Permission => ("permission_error", None),
        FaultKind::Billing => ("insufficient_quota", Some("insufficient_quota")),
        FaultKind::RateLimit => ("rate_limit_error", Some("rate_limit_exceeded")),
        FaultKind::Overloaded => ("service_unavailable_error", Some("server_is_overloaded")),
        FaultKind::Timeout | FaultKind::Server => ("server_error", None),
    }
}

/// Whether a body is an error that OpenAI's SDKs can read.
#[must_use]
pub fn is_error_body(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Body {
        #[serde(rename = "error")]
        _error: Object,
    }
    #[derive(Deserialize)]
    struct Object {
        #[serde(rename = "message")]
        _message: IgnoredAny,
    }
    serde_json::from_slice::<Body>(body).is_ok()
}

/// Reads the body of an error reply; whatever it is, the fault has the status.
#[must_use]
pub fn read_error(status: u16, body: &[u8]) -> Fault {
    let text = String::from_utf8_lossy(body);
    let mut fault = Fault::of_status(status, "");
    // Google's compatible endpoint puts its error into an array.
    let bodies = serde_json::from_str::<[Body<'_>; 1]>(&text).map(|[body]| body);
    match bodies.or_else(|_| serde_json::from_str::<Body<'_>>(&text)) {
        Ok(Body { error: Some(raw), .. }) => fill(&mut fault, raw.get()),
        // vLLM's errors stood at the top; FastAPI says what is wrong in `detail`.
        Ok(Body { message: Some(_), .. }) => fill(&mut fault, &text),
        Ok(Body { detail: Some(raw), .. }) => fault.message = plain(raw.get()),
        _ => fault.message = plain(&text),
    }
    if fault.message.is_empty() {
        fault.message = format!("The provider answered with status {status}.");
    }
    fault
}

/// What stands in place of an answer, in a body or a frame of status 200; `None` where there is an answer. `OpenRouter` adds
/// a choice that ends by it, and the Responses API's streams have it without an object of its own.
#[must_use]
pub fn read_failure(said: &[u8]) -> Option<Fault> {
    let (mut error, mut is_event, mut answered) = (None, false, false);
    skim::whole(said, |skim| {
        skim.fields(["error", "type", "choices", "output", "data"], |name, skim| {
            let value = skim.raw()?;
            match name {
                "error" => error = says_something(value).then_some(value),
                "type" => is_event = value == br#""error""#,
                "choices" => {
                    answered |= tap::names_text(value, br#""content""#)
                        || tap::names_value(value, br#""function""#, b'{');
                }
                _ => answered |= says_something(value),
            }
            Some(())
        })
    })?;
    let error = if is_event && error.is_none() { Some(said.trim_ascii()) } else { error };
    let error = error.filter(|_| !answered)?;
    Some(read_success_error(std::str::from_utf8(error).ok()?))
}

fn says_something(value: &[u8]) -> bool {
    match value {
        b"null" | b"false" | br#""""# => false,
        [b'[' | b'{', inside @ .., _] => !inside.trim_ascii().is_empty(),
        _ => true,
    }
}

/// Reads the value of `error` in what came with status 200.
pub(super) fn read_success_error(error: &str) -> Fault {
    let mut fault = Fault::of_status(500, "");
    fill(&mut fault, error);
    // OpenRouter gives the status that it would have answered with as the code.
    let status = fault.code.as_deref().and_then(|code| code.parse().ok());
    match status.filter(|status| (400..=599).contains(status)) {
        Some(status) => {
            (fault.kind, fault.status, fault.code) = (FaultKind::of_status(status), status, None);
        }
        None => fault.status = fault.kind.status(),
    }
    if fault.message.is_empty() {
        "The provider failed and gave no reason.".clone_into(&mut fault.message);
    }
    fault
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    message: Option<&'a RawValue>,
    detail: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Object {
    #[serde(default, deserialize_with = "word")]
    message: Option<String>,
    #[serde(default, deserialize_with = "word")]
    r#type: Option<String>,
    #[serde(default, deserialize_with = "word")]
    code: Option<String>,
    #[serde(default, deserialize_with = "word")]
    param: Option<String>,
    /// `OpenRouter`'s, where a moderator has flagged what the call says.
    #[serde(default, rename = "metadata", deserialize_with = "has_reasons")]
    flagged: bool,
}

fn has_reasons<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Metadata {
        Flagged {
            #[serde(rename = "reasons")]
            _reasons: Vec<IgnoredAny>,
        },
        Other(IgnoredAny),
    }
    Ok(matches!(Metadata::deserialize(deserializer)?, Metadata::Flagged { .. }))
}

/// A string, or the number that some servers write in its place; anything else is passed over.
fn word<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Word {
        Text(String),
        Number(i64),
        Other(IgnoredAny),
    }
    Ok(match Word::deserialize(deserializer)? {
        Word::Text(text) => Some(text),
        Word::Number(number) => Some(number.to_string()),
        Word::Other(_) => None,
    })
}

/// Takes what an error object says: a string is its message alone.
fn fill(fault: &mut Fault, error: &str) {
    match serde_json::from_str::<Object>(error) {
        Ok(object) => {
            let kind = [&object.code, &object.r#type].into_iter().flatten().find_map(|word| kind_of(word));
            fault.kind = kind.unwrap_or(fault.kind);
            // Its 403 is of the call, and of no account.
            if object.flagged && fault.kind == FaultKind::Permission {
                fault.kind = FaultKind::InvalidRequest;
            }
            fault.message = object.message.unwrap_or_default();
            // A code that only repeats the status is no word for a program.
            fault.code = object.code.filter(|code| *code != fault.status.to_string());
            fault.param = object.param;
        }
        Err(_) => fault.message = plain(error),
    }
}

/// A JSON string's text, and any other text as it stands, cut short.
fn plain(text: &str) -> String {
    let text = serde_json::from_str::<String>(text).unwrap_or_else(|_| text.trim().to_owned());
    text.chars().take(MAX_MESSAGE_CHARS).collect()
}

/// What a code or a type means that says more than the status does: OpenAI answers 429 to who has no
/// money left, and streams have no status at all.
fn kind_of(word: &str) -> Option<FaultKind> {
    Some(match word {
        "insufficient_quota"
        | "credit_balance_exhausted"
        | "billing_not_active"
        | "billing_hard_limit_reached"
        | "organization_spend_limit_exceeded"
        | "organization_usage_limit_exceeded"
        | "project_spend_limit_exceeded" => FaultKind::Billing,
        "invalid_api_key" | "authentication_error" => FaultKind::Authentication,
        "permission_error" | "unsupported_country_region_territory" => FaultKind::Permission,
        "model_not_found" | "not_found_error" => FaultKind::NotFound,
        "rate_limit_error" | "rate_limit_exceeded" | "slow_down" => FaultKind::RateLimit,
        "server_is_overloaded" | "service_unavailable_error" | "overloaded_error" => FaultKind::Overloaded,
        "context_length_exceeded" | "invalid_prompt" => FaultKind::InvalidRequest,
        // `invalid_image_url`, `image_too_large` and ten more.
        _ if word.contains("image") => FaultKind::InvalidRequest,
        _ => return None,
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;

    #[test]
    fn openais_error_is_read_whole_and_its_code_counts_more_than_its_status() {
        let body = br#"{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}"#;
        let fault = read_error(429, body);
        assert_eq!((fault.kind, fault.status), (FaultKind::Billing, 429));
        assert_eq!(fault.message, "You exceeded your current quota");
        assert_eq!(fault.code.as_deref(), Some("insufficient_quota"));

        let body = br#"{"error":{"message":"No such model","type":"invalid_request_error","param":"model","code":"model_not_found"}}"#;
        let fault = read_error(404, body);
        assert_eq!((fault.kind, fault.param.as_deref()), (FaultKind::NotFound, Some("model")));
    }

    #[test]
    fn the_errors_of_compatible_servers_are_read() {
        let cases: [(u16, &str, FaultKind, &str, Option<&str>); 8] = [
            (400, r#"{"error":"plain"}"#, FaultKind::InvalidRequest, "plain", None),
            (
                400,
                r#"[{"error":{"code":400,"message":"bad","status":"INVALID_ARGUMENT"}}]"#,
                FaultKind::InvalidRequest,
                "bad",
                None,
            ),
            (
                404,
                r#"{"object":"error","message":"gone","type":"NotFoundError","code":404}"#,
                FaultKind::NotFound,
                "gone",
                None,
            ),
            (401, r#"{"detail":"Unauthorized"}"#, FaultKind::Authentication, "Unauthorized", None),
            (422, r#"{"detail":[{"msg":"x"}]}"#, FaultKind::InvalidRequest, r#"[{"msg":"x"}]"#, None),
            (502, "<html>bad gateway</html>\n", FaultKind::Server, "<html>bad gateway</html>", None),
            (503, "", FaultKind::Overloaded, "The provider answered with status 503.", None),
            (
                500,
                r#"{"error":{"message":{"a":1},"code":7}}"#,
                FaultKind::Server,
                "The provider answered with status 500.",
                Some("7"),
            ),
        ];
        for (status, body, kind, message, code) in cases {
            let fault = read_error(status, body.as_bytes());
            assert_eq!(
                (fault.kind, fault.message.as_str(), fault.code.as_deref()),
                (kind, message, code),
                "{body}"
            );
            assert_eq!(fault.status, status);
        }
        assert_eq!(read_error(500, &[0xff; 4000]).message.chars().count(), MAX_MESSAGE_CHARS);
    }

    #[test]
    fn what_a_moderator_flags_is_the_callers() {
        for (metadata, kind) in [
            (r#"{"reasons":["violence"],"flagged_input":"x"}"#, FaultKind::InvalidRequest),
            (r#"{"raw":"x"}"#, FaultKind::Permission),
            ("7", FaultKind::Permission),
        ] {
            let body = format!(r#"{{"error":{{"message":"m","code":403,"metadata":{metadata}}}}}"#);
            let fault = read_error(403, body.as_bytes());
            assert_eq!((fault.kind, fault.message.as_str()), (kind, "m"), "{body}");
        }
    }

    #[test]
    fn an_error_is_written_as_openai_writes_it() {
        let fault = Fault { param: Some("n".to_owned()), ..Fault::of_status(400, "Bad \"n\".") };
        let body =
            r#"{"error":{"message":"Bad \"n\".","type":"invalid_request_error","param":"n","code":null}}"#;
        assert_eq!(error_body(&fault), body);
        let types = [401, 402, 403, 404, 413, 429, 500, 503, 504].map(|status| {
            let body = error_body(&Fault::of_status(status, ""));
            assert!(is_error_body(&body));
            let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
            body["error"]["type"].as_str().unwrap().to_owned()
        });
        assert_eq!(
            types,
            [
                "authentication_error",
                "insufficient_quota",
                "permission_error",
                "invalid_request_error",
                "invalid_request_error",
                "rate_limit_error",
                "server_error",
                "service_unavailable_error",
                "server_error"
            ]
        );
    }

    #[test]
    fn every_kind_is_told_from_its_own_body_where_there_is_no_status() {
        for kind in
            [FaultKind::Billing, FaultKind::RateLimit, FaultKind::Overloaded, FaultKind::Authentication]
        {
            let body = error_body(&Fault { kind, ..Fault::of_status(500, "m") });
            let raw: &RawValue = serde_json::from_slice::<Body<'_>>(&body).unwrap().error.unwrap();
            let fault = read_success_error(raw.get());
            assert_eq!((fault.kind, fault.status), (kind, kind.status()));
        }
        assert_eq!(read_success_error(r#"{"code":502,"message":"upstream"}"#).status, 502);
    }

    #[test]
    fn only_an_object_with_a_message_is_an_error_to_the_sdks() {
        assert!(is_error_body(br#"{"error":{"message":"m"}}"#));
        for body in [r#"{"error":"m"}"#, r#"{"error":null}"#, r#"{"detail":"m"}"#, "[]", "", "<html>"] {
            assert!(!is_error_body(body.as_bytes()), "{body}");
        }
    }
}
