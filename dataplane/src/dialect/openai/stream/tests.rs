//! The tap gives the same for any cut of the bytes, and hides only what the gateway asked for.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use super::*;

const STREAM: &str = concat!(
    "data: {\"choices\":[{\"delta\":{\"content\":\"a \\\"usage\\\" b\"},\"finish_reason\":null}],\"usage\":null}\n\n",
    ": a comment\r\n\r\n",
    "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":4,\"prompt_tokens_details\":{\"cached_tokens\":3}}}\n\n",
    "data: [DONE]\n\n",
);

fn through(stream: &str, hide: bool, cut: usize) -> (String, StreamTap, bool) {
    let mut tap = StreamTap::new(hide);
    let mut passed = Vec::new();
    for piece in stream.as_bytes().chunks(cut) {
        let mut out = Gather::default();
        tap.push(Bytes::copy_from_slice(piece), &mut out).unwrap();
        passed.extend_from_slice(&out.take());
    }
    let mut out = Gather::default();
    let ended = tap.end(&mut out);
    passed.extend_from_slice(&out.take());
    (String::from_utf8(passed).unwrap(), tap, ended)
}

#[test]
fn any_cut_gives_the_same_bytes_and_the_same_usage() {
    let usage = Usage { input: 9, cached_input: 3, output: 4 };
    let hidden = STREAM.lines().filter(|line| !line.contains("prompt_tokens")).count();
    for cut in 1..STREAM.len() {
        let (passed, tap, ended) = through(STREAM, false, cut);
        assert_eq!((passed.as_str(), tap.usage(), ended), (STREAM, Some(usage), true), "cut every {cut}");

        let (passed, tap, ended) = through(STREAM, true, cut);
        assert!(!passed.contains("prompt_tokens") && passed.ends_with("data: [DONE]\n\n"), "{passed}");
        assert_eq!(
            (passed.lines().count() + 1, tap.usage(), ended),
            (hidden, Some(usage), true),
            "cut every {cut}"
        );
    }
}

#[test]
fn usage_in_an_event_with_choices_is_taken_and_not_hidden() {
    let stream = "data: {\"choices\":[{\"finish_reason\":\"stop\"}],\"usage\": {\"prompt_tokens\":1,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n";
    let (passed, tap, _) = through(stream, true, stream.len());
    assert_eq!(passed, stream);
    assert_eq!(tap.usage(), Some(Usage { input: 1, cached_input: 0, output: 2 }));
}

#[test]
fn an_end_is_told_from_a_break() {
    let chunk = "data: {\"choices\":[{\"finish_reason\": null}]}\n\n";
    assert!(!through(chunk, true, 7).2, "no mark, nothing finished");
    assert!(
        through("data: {\"choices\":[{\"finish_reason\": \"length\"}]}\n\n", true, 7).2,
        "finished, without a mark"
    );
    let (passed, _, ended) = through(&format!("{chunk}data: [DONE]"), true, 7);
    assert!(ended && passed.ends_with("data: [DONE]\n\n"), "a mark without its blank line: {passed}");
    assert!(!through("<html>garbage</html>", true, 7).2);
}

#[test]
fn an_event_of_a_mebibyte_passes_and_an_endless_one_is_refused() {
    let big = format!("data: {{\"x\":\"{}\"}}\n\ndata: [DONE]\n\n", "y".repeat(1 << 20));
    assert_eq!(through(&big, true, 16_384).0, big);

    let mut tap = StreamTap::new(true);
    let mut out = Gather::default();
    let piece = Bytes::from(vec![b'y'; 1 << 20]);
    assert!((0..4).all(|_| tap.push(piece.clone(), &mut out).is_ok()));
    assert_eq!(tap.push(piece, &mut out), Err(EventTooLarge));
}

#[test]
fn frames_that_are_ready_together_leave_together_and_in_order() {
    let mut out = Gather::default();
    for piece in ["a", "b", "c"] {
        out.push(Bytes::from_static(piece.as_bytes()));
    }
    assert_eq!((out.len(), out.take().as_ref()), (3, b"abc".as_slice()));
    assert!(out.is_empty());
    out.push(Bytes::from_static(b"d"));
    assert_eq!(out.take().as_ref(), b"d");
}
