//! One look at a text, at no more of it than a bound: what in it is the task, and what code and
//! mathematics there is. Apart from what the findings weigh.

use memchr::{memchr_iter, memchr3_iter, memrchr_iter};

use super::words::Words;

/// The most bytes that are looked at of a message's start, and of its end.
const HEAD: usize = 4096;
const TAIL: usize = 2048;
/// The most bytes of a task before what it is about, and after.
const TASK_HEAD: usize = 1024;
const TASK_TAIL: usize = 512;
/// A blank line before this belongs to a salutation.
const SALUTATION: usize = 24;

const FENCE: &[u8] = b"```";

/// What was found in the texts of one message.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub words: Words,
    /// Bytes of text that says what to do.
    pub task: usize,
    /// Bytes of text that it is to be done with.
    pub material: usize,
    /// Braces, semicolons, comparisons.
    pub code: u32,
    /// Commands of LaTeX, powers, signs of mathematics: none of code.
    pub maths: u32,
    /// Bytes that were looked at.
    looked_at: usize,
}

impl Found {
    /// Looks at one more text. Where much was looked at before only the length counts.
    pub fn look(&mut self, text: &[u8]) {
        if self.looked_at > HEAD + TAIL || self.task > TASK_HEAD + TASK_TAIL {
            self.material += text.len();
            return;
        }
        let (head, tail) = task(text);
        self.task += head.len() + tail.len();
        self.material += text.len() - head.len() - tail.len();
        self.words.read(head);
        self.words.read(tail);
        if text.len() <= HEAD + TAIL {
            self.count(text);
        } else {
            self.count(&text[..HEAD]);
            self.count(&text[text.len() - TAIL..]);
        }
    }

    fn count(&mut self, text: &[u8]) {
        self.looked_at += text.len();
        // Whole vectors at a time, which is why chunks are summed in a byte each; what has to be looked
        // at one by one is rare.
        let code = |chunk: &[u8]| chunk.iter().map(|&byte| u8::from(is_code(byte))).sum::<u8>();
        self.code += text.chunks(128).map(|chunk| u32::from(code(chunk))).sum::<u32>();
        self.maths += memchr_iter(OPERATOR, text).map(|at| u32::from(is_operator(&text[at..]))).sum::<u32>();
        let mut fenced = false;
        for at in memchr3_iter(b'`', b'\\', b'^', text) {
            let rest = &text[at..];
            fenced ^= rest.starts_with(FENCE);
            self.maths += u32::from(!fenced && is_maths(rest));
        }
    }
}

/// The instruction, which stands before what it is about, or behind it, or both.
fn task(text: &[u8]) -> (&[u8], &[u8]) {
    let start = &text[..text.len().min(TASK_HEAD)];
    let fence = first(start, FENCE).unwrap_or(start.len());
    let (head, rest) = text.split_at(instruction(start).map_or(fence, |end| end.min(fence)));
    // The last lines may be the question; but not all that a colon announced.
    let announced = announced(head, rest);
    let skipped = |byte: &&u8| b"\xEF\xBC\x9A:\r\n ".contains(byte);
    let skip = if announced { rest.iter().take(8).take_while(skipped).count() } else { 0 };
    let rest = &rest[skip..];
    let end = &rest[rest.len().saturating_sub(TASK_TAIL)..];
    let behind = [behind_last(end, FENCE), behind_last(end, b"\n\n")].into_iter().flatten().max();
    let line = || if announced { None } else { behind_last(end, b"\n") };
    (head, behind.or_else(line).map_or(&[], |at| &end[at..]))
}

/// Where a line ends that announces something, or a blank one follows.
fn instruction(start: &[u8]) -> Option<usize> {
    const ENDS: [&[u8]; 3] = [b"\n", b":", "：".as_bytes()];
    let mut lines = memchr_iter(b'\n', start).map(|at| &start[..at]);
    let ends = |line: &[u8]| {
        let end = ENDS.iter().find(|end| line.ends_with(end))?;
        Some(line.len() - end.len()).filter(|at| *at >= SALUTATION)
    };
    lines.find_map(ends)
}

/// Whether the head ends in a colon, or at one.
fn announced(head: &[u8], rest: &[u8]) -> bool {
    head.ends_with(b":") || [&b":"[..], "：".as_bytes()].iter().any(|colon| rest.starts_with(colon))
}

/// Where the first one is. By its first byte, which is rare: texts as short as these are read before a
/// search for more would have been set up.
fn first(text: &[u8], what: &[u8]) -> Option<usize> {
    memchr_iter(*what.first()?, text).find(|at| text[*at..].starts_with(what))
}

/// Behind the last.
fn behind_last(text: &[u8], what: &[u8]) -> Option<usize> {
    let last = memrchr_iter(*what.first()?, text).find(|at| text[*at..].starts_with(what));
    last.map(|at| at + what.len())
}

/// Without a branch.
fn is_code(byte: u8) -> bool {
    (byte == b'{') | (byte == b'}') | matches!(byte, b';'..=b'>')
}

/// How the mathematical operators of Unicode begin, U+2200 to U+22FF, and others.
const OPERATOR: u8 = 0xE2;

fn is_operator(rest: &[u8]) -> bool {
    matches!(rest, [OPERATOR, 0x88..=0x8B, ..])
}

/// A power, or a command of LaTeX of two letters or more: `\n` is none.
fn is_maths(rest: &[u8]) -> bool {
    match rest {
        [b'^', ..] => true,
        [b'\\', first, second, ..] => first.is_ascii_alphabetic() && second.is_ascii_alphabetic(),
        _ => false,
    }
}
