//! The marks by which a stream of this API is read along: the tap gives the same for any cut of the
//! bytes, and hides only what the gateway asked for.

use bytes::Bytes;

use super::*;
use crate::{gather::Gather, tap::Tap};

const STREAM: &str = concat!(
    "data: {\"choices\":[{\"delta\":{\"content\":\"a \\\"usage\\\" b\"},\"finish_reason\":null}],\"usage\":null}\n\n",
    ": a comment\r\n\r\n",
    "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":4,\"prompt_tokens_details\":{\"cached_tokens\":3}}}\n\n",
    "data: [DONE]\n\n",
);

fn through(stream: &str, hide: bool, cut: usize) -> (String, Tap, bool) {
    let mut tap = Tap::new(&CHAT_MARKS, hide);
    let mut out = Gather::default();
    for piece in stream.as_bytes().chunks(cut) {
        tap.push(Bytes::copy_from_slice(piece), &mut out).unwrap();
    }
    let ended = tap.end(&mut out);
    (String::from_utf8(out.take().to_vec()).unwrap(), tap, ended)
}

#[test]
fn any_cut_gives_the_same_bytes_and_the_same_usage() {
    let usage = Usage { input: 9, cached_input: 3, output: 4, ..Usage::default() };
    let hidden: String =
        STREAM.split_inclusive("\n\n").filter(|event| !event.contains("prompt_tokens")).collect();
    for cut in 1..STREAM.len() {
        let (passed, tap, ended) = through(STREAM, false, cut);
        assert_eq!((passed.as_str(), tap.usage(), ended), (STREAM, Some(usage), true), "cut every {cut}");
        let (passed, tap, ended) = through(STREAM, true, cut);
        assert_eq!((passed, tap.usage(), ended), (hidden.clone(), Some(usage), true), "cut every {cut}");
    }
}

#[test]
fn usage_in_an_event_with_choices_is_taken_and_not_hidden() {
    let stream = "data: {\"choices\":[{\"finish_reason\":\"stop\"}],\"usage\": {\"prompt_tokens\":1,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n";
    let (passed, tap, _) = through(stream, true, stream.len());
    assert_eq!(passed, stream);
    assert_eq!(tap.usage(), Some(Usage { input: 1, output: 2, ..Usage::default() }));
}

#[test]
fn an_end_is_told_from_a_break() {
    let chunk = "data: {\"choices\":[{\"finish_reason\": null}]}\n\n";
    assert!(!through(chunk, true, 7).2, "no mark, nothing finished");
    assert!(!through(&chunk.replace("null", "\"\""), true, 7).2, "an empty reason is none");
    let finished = "data: {\"choices\":[{\"finish_reason\": \"length\"}]}\n\n";
    assert!(through(finished, true, 7).2, "finished, without a mark");
    let (passed, _, ended) = through(&format!("{chunk}data: [DONE]"), true, 7);
    assert!(ended && passed.ends_with("data: [DONE]\n\n"), "a mark without its blank line: {passed}");
    assert!(!through("<html>garbage</html>", true, 7).2);
    let behind = format!("{chunk}data:[DONE]\n\n: what a proxy has to say behind the end\n\n");
    let said = "data: {\"choices\":[{\"delta\":{\"content\":\"data: [DONE]\"}}]}\n\n";
    for cut in [1, 7, behind.len()] {
        assert!(through(&behind, true, cut).2, "cut every {cut}");
        assert!(!through(said, true, cut).2, "the model's own words");
    }
}

#[test]
fn half_a_frame_is_neither_passed_nor_an_end() {
    let finished = "data: {\"choices\":[{\"finish_reason\": \"stop\"}]}\n\n";
    let (passed, _, ended) = through(&finished[..finished.len() - 4], false, 7);
    assert_eq!((passed.as_str(), ended), ("", false), "the reason, without the frame's own end");
    let (passed, _, ended) = through(&format!("{finished}data: {{\"usage\": {{\"pro"), false, 7);
    assert_eq!((passed.as_str(), ended), (finished, true));
}

#[test]
fn the_usage_of_a_whole_reply_is_read_and_what_is_no_reply_refused() {
    let usage = usage_of_reply(br#"{"usage":{"prompt_tokens":9,"completion_tokens":4}}"#).unwrap();
    assert_eq!(usage, Some(Usage { input: 9, output: 4, ..Usage::default() }));
    assert_eq!(usage_of_reply(br#" {"usage":null}"#), Ok(None));
    for body in ["", "[]", "<html>", "5"] {
        assert!(usage_of_reply(body.as_bytes()).is_err(), "{body}");
    }
}
