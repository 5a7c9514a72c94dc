//! How a network cuts a stream says nothing: whatever the pieces, the caller gets the same bytes.

use llm_dialect::{surface::Api, translation::Through};

use super::{
    cases::{CALLERS, Named, PROVIDERS, streams},
    stream::{Relayed, assert_frames, relayed, through, translated},
};

/// Random cuts of each stream for each caller.
const RANDOM_CUTS: usize = 12;

/// Callers share the places at which a stream is cut in two, since finding frames is the same for all:
/// every place is tried, by one of them. `ALL_CUTS=1` tries every place for each.
const SHARES: usize = 6;

#[test]
fn any_cut_of_a_stream_gives_the_same() {
    for provider in PROVIDERS {
        for (name, stream) in streams(provider) {
            for (caller, share) in CALLERS.into_iter().zip(0..) {
                let (from, to) = (provider.streams(), caller.streams());
                let what = format!("{name} of {} to {}", provider.name, caller.name);
                cut_anywhere(&what, &stream, to, share, || translated(from, to));
            }
            if provider.api == Api::GenerateContent {
                let array = Api::StreamGenerateArray;
                cut_anywhere(&name, &stream, array, 0, || through(provider.streams(), array, false));
            }
        }
    }
}

#[test]
fn any_cut_of_a_stream_that_passes_gives_the_same() {
    for api in CALLERS {
        for (name, stream) in streams(api) {
            let to = api.streams();
            for (hide_usage, share) in [(false, 0), (true, 1)] {
                let what = format!("{name} of {}", api.name);
                cut_anywhere(&what, &stream, to, share, || through(to, to, hide_usage));
            }
        }
    }
}

/// A connection may close behind the last byte that matters.
#[test]
fn the_last_border_may_be_missing() {
    for provider in PROVIDERS {
        for (name, stream) in streams(provider) {
            let bare = stream.trim_ascii_end();
            for caller in CALLERS {
                let (from, to) = (provider.streams(), caller.streams());
                let relay = |stream| relayed(translated(from, to), to, std::iter::once(stream));
                assert_eq!(relay(bare), relay(&stream), "{name} of {} to {}", provider.name, caller.name);
            }
        }
    }
}

/// A stream that stops anywhere gives whole frames, and is told from one that has come to its end.
#[test]
fn a_stream_that_stops_gives_whole_frames_and_no_end() {
    for provider in PROVIDERS {
        for (name, stream) in streams(provider) {
            for caller in CALLERS {
                let (from, to) = (provider.streams(), caller.streams());
                let what = format!("{name} of {} to {}", provider.name, caller.name);
                stop_anywhere(&what, &stream, caller, || translated(from, to));
            }
        }
    }
    for api in CALLERS {
        for (name, stream) in streams(api) {
            let to = api.streams();
            stop_anywhere(&format!("{name} of {}", api.name), &stream, api, || through(to, to, false));
        }
    }
}

fn stop_anywhere(what: &str, stream: &[u8], caller: Named, through: impl Fn() -> Through) {
    let mut ended_at = None;
    for at in (0..stream.len()).step_by(7) {
        let part = relayed(through(), caller.streams(), std::iter::once(&stream[..at]));
        assert_frames(caller.caller().framing(), &part.bytes);
        match ended_at {
            Some(end) => assert!(part.ended, "{what}, {at} bytes: it had ended at {end}"),
            None if part.ended => ended_at = Some(at),
            None => {}
        }
    }
}

/// In two at `share` of the places, in single bytes, and in random pieces.
fn cut_anywhere(what: &str, stream: &[u8], to: Api, share: usize, through: impl Fn() -> Through) {
    let whole = relayed(through(), to, std::iter::once(stream));
    let same = |cut: &Relayed, how: &dyn std::fmt::Display| assert_eq!(*cut, whole, "{what}, {how}");
    let (first, step) = if std::env::var_os("ALL_CUTS").is_some() { (0, 1) } else { (share, SHARES) };
    for at in (first..stream.len()).step_by(step) {
        let (head, tail) = stream.split_at(at);
        same(&relayed(through(), to, [head, tail].into_iter()), &format_args!("cut at {at}"));
    }
    same(&relayed(through(), to, stream.chunks(1)), &"byte by byte");
    let mut chance = Chance(0x9E37_79B9_7F4A_7C15);
    for _ in 0..RANDOM_CUTS {
        let mut pieces = Vec::new();
        let mut rest = stream;
        let longest = 1 + chance.below(200);
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at((1 + chance.below(longest)).min(rest.len()));
            pieces.push(piece);
            rest = behind;
        }
        let cut = relayed(through(), to, pieces.iter().copied());
        same(&cut, &format_args!("cut to {:?}", pieces.iter().map(|piece| piece.len()).collect::<Vec<_>>()));
    }
}

/// The same numbers in every run: `splitmix64`.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((z ^ (z >> 31)) % bound as u64).unwrap()
    }
}

/// Whoever adds an API of callers has to give it streams that pass.
#[test]
fn every_api_has_streams() {
    let without: Vec<&str> =
        CALLERS.iter().filter(|api: &&Named| streams(**api).is_empty()).map(|api| api.name).collect();
    assert_eq!(without, [""; 0]);
}
