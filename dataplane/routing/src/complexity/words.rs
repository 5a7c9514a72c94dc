//! Reads the text of a task word by word. Apart from the list of words, which is data, and from the
//! counting of bytes, which looks at more of the text.

use super::{
    stems::GROUPS,
    window::{WIDTH, Window},
};

/// How the text of a task may go on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stem {
    /// The first eight bytes of the text, the first one lowest; zeros behind its end.
    begin: u64,
    /// The bits of `begin` that are of the text.
    mask: u64,
    pub text: &'static [u8],
    pub weight: i8,
    /// The word ends here.
    pub whole: bool,
    /// The next stem of the same slot, as its index and one; zero: there is none.
    next: u16,
}

const COUNT: usize = {
    let (mut group, mut count) = (0, 0);
    while group < GROUPS.len() {
        let words = GROUPS[group].words.as_bytes();
        let mut at = 0;
        count += 1;
        while at < words.len() {
            count += (words[at] == b'/') as usize;
            at += 1;
        }
        group += 1;
    }
    count
};

/// The stems, and the first of each slot, as its index and one: of those with fewer bytes than a long key has, and of the
/// others. Made when this is compiled.
struct Table {
    stems: [Stem; COUNT],
    short: [u16; 1 << SHORT_KEY.bits],
    long: [u16; 1 << LONG_KEY.bits],
    /// A bit for each slot of `FIRST_KEY` that a stem has: most words have none, and it fits what a processor has at hand.
    first: [u64; 1 << (FIRST_KEY.bits - 6)],
}

static TABLE: Table = {
    let mut table = Table {
        stems: [Stem { begin: 0, mask: 0, text: b"", weight: 0, whole: false, next: 0 }; COUNT],
        short: [0; 1 << SHORT_KEY.bits],
        long: [0; 1 << LONG_KEY.bits],
        first: [0; 1 << (FIRST_KEY.bits - 6)],
    };
    let (mut group, mut index) = (0, 0);
    while group < GROUPS.len() {
        let mut rest = GROUPS[group].words.as_bytes();
        while !rest.is_empty() {
            let mut end = 0;
            while end < rest.len() && rest[end] != b'/' {
                end += 1;
            }
            let whole = rest[end - 1] == b'.';
            let text = rest.split_at(end - whole as usize).0;
            let (begin, mask) = begin(text);
            let slot = FIRST_KEY.slot(begin);
            table.first[slot / 64] |= 1 << (slot % 64);
            let first: &mut u16 = if text.len() < LONG_KEY.bytes {
                &mut table.short[SHORT_KEY.slot(begin)]
            } else {
                &mut table.long[LONG_KEY.slot(begin)]
            };
            table.stems[index] =
                Stem { begin, mask, text, weight: GROUPS[group].weight, whole, next: *first };
            index += 1;
            *first = index as u16;
            rest = rest.split_at(if end < rest.len() { end + 1 } else { end }).1;
        }
        group += 1;
    }
    table
};

/// How stems are found: by so many first bytes of a word, in one of so many slots.
#[derive(Clone, Copy)]
struct Key {
    bytes: usize,
    bits: u32,
}

/// Of all stems. None is shorter.
const FIRST_KEY: Key = Key { bytes: 3, bits: 13 };
/// Of the few stems that are shorter than a long key.
const SHORT_KEY: Key = Key { bytes: 3, bits: 11 };
/// The more bytes, the fewer words meet a stem that they do not go on with; and the more slots.
const LONG_KEY: Key = Key { bytes: 5, bits: 13 };

impl Key {
    const fn slot(self, begin: u64) -> usize {
        ((begin << (64 - 8 * self.bytes)).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - self.bits)) as usize
    }
}

/// The first eight bytes of a stem, and which bits of them are.
const fn begin(text: &[u8]) -> (u64, u64) {
    let (mut begin, mut mask, mut at) = (0, 0, 0);
    while at < text.len() && at < 8 {
        begin |= (text[at] as u64) << (8 * at);
        mask |= 0xFF << (8 * at);
        at += 1;
    }
    (begin, mask)
}

/// Weights from here on speak of hard work.
const HARD: i8 = 15;
/// The letters from which on a word is long.
const LONG: usize = 10;

/// What the words of a text weigh. A stem counts once, however often it is said: repetition makes
/// nothing harder, and a pasted word list shall not decide.
#[derive(Debug, PartialEq)]
pub(super) struct Words {
    seen: [u64; COUNT.div_ceil(64)],
    /// Sum of the weights of words that speak of hard work, in hundredths.
    pub hard: u32,
    /// The same of words that speak of some work.
    pub work: u32,
    /// Sum of those below zero, without the sign.
    pub easy: u32,
    /// Long words, and such as have two capitals, or letters and digits: `GDPR`, `OAuth`, `utf8`.
    pub terms: u32,
    pub numbers: u32,
    /// Commas, semicolons, colons and question marks: a task of many parts has many.
    pub clauses: u32,
    /// Letters of scripts in which there is no stem: Japan's too, but for those it shares with China.
    pub unread: u32,
}

impl Default for Words {
    fn default() -> Self {
        let seen = [0; COUNT.div_ceil(64)];
        Self { seen, hard: 0, work: 0, easy: 0, terms: 0, numbers: 0, clauses: 0, unread: 0 }
    }
}

impl Words {
    pub fn read(&mut self, text: &[u8]) {
        // Whole vectors at a time, which is why chunks are summed in a byte each.
        let clauses = |chunk: &[u8]| chunk.iter().map(|&byte| u8::from(is_clause(byte))).sum::<u8>();
        self.clauses += text.chunks(128).map(|chunk| u32::from(clauses(chunk))).sum::<u32>();
        let mut at = 0;
        while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
            at += self.read_window(rest);
        }
    }

    /// Reads the words that end in the next bytes, and says how many bytes those are.
    fn read_window(&mut self, text: &[u8]) -> usize {
        let window = Window::of(text);
        let words = window.words();
        // The last word may go on behind the window: the next one begins with it.
        let open = if text.len() > WIDTH { words.leading_ones() as usize } else { 0 };
        if open == WIDTH {
            return self.read_run(text);
        }
        let words = words & (u64::MAX >> open);
        if is_plain(words, &window) {
            let mut starts = words & !(words << 1);
            while starts != 0 {
                // Never that large, which the compiler does not know of a mask that has a bit.
                let at = starts.trailing_zeros() as usize % WIDTH;
                starts &= starts - 1;
                self.look_up(window.lower(at), text, at);
            }
        } else {
            self.read_runs(text, words, &window);
        }
        (WIDTH - open).min(text.len())
    }

    /// Reads these words of a window, of which some are numbers, terms or foreign.
    fn read_runs(&mut self, text: &[u8], mut words: u64, window: &Window) {
        while words != 0 {
            let at = words.trailing_zeros() as usize;
            let length = (words >> at).trailing_ones() as usize;
            let run = u64::MAX >> (WIDTH - length) << at;
            words &= !run;
            if run & window.foreign != 0 {
                self.read_run(&text[at..]);
                continue;
            }
            if window.digits >> at & 1 == 1 {
                self.numbers += 1;
            } else {
                self.look_up(window.lower(at), text, at);
            }
            if length >= LONG || run & (window.capitals | window.digits) != 0 {
                let [letters, capitals, digits] = [window.letters, window.capitals, window.digits]
                    .map(|of| (run & of).count_ones() as usize);
                self.terms += u32::from(is_term(letters, capitals, digits));
            }
        }
    }

    /// Reads a word byte by byte, and says how long it is.
    fn read_run(&mut self, text: &[u8]) -> usize {
        match text.first() {
            Some(byte) if byte.is_ascii_digit() => self.numbers += 1,
            _ => self.word(text),
        }
        let (mut letters, mut capitals, mut digits) = (0, 0, 0);
        let mut length = 0;
        for (at, &byte) in text.iter().enumerate() {
            if !is_of_word(byte) {
                break;
            }
            length += 1;
            letters += usize::from(byte.is_ascii_alphabetic());
            capitals += usize::from(byte.is_ascii_uppercase());
            digits += usize::from(byte.is_ascii_digit());
            if byte >= 0x80 {
                self.foreign(&text[at..], at > 0);
            }
        }
        self.terms += u32::from(is_term(letters, capitals, digits));
        length
    }

    /// A byte that is not ASCII, at the start of a word or `inside` one.
    fn foreign(&mut self, rest: &[u8], inside: bool) {
        match rest {
            // Greek to Arabic, India and Thailand, Korea.
            [0xCE..=0xE0 | 0xEA..=0xED, ..] | [0xE3, 0x81..=0x83, ..] => self.unread += 1,
            // Chinese has no spaces: each letter, and each wide comma, may start a word.
            [0xE3..=0xE9 | 0xEF, ..] if inside => self.word(rest),
            _ => {}
        }
    }

    /// Looks for a stem where a word may begin.
    fn word(&mut self, rest: &[u8]) {
        // The comma, the semicolon and the question mark of Chinese, and its comma in lists.
        if let [0xEF, 0xBC, 0x8C | 0x9B | 0x9F, ..] | [0xE3, 0x80, 0x81, ..] = rest {
            self.clauses += 1;
            return;
        }
        let mut begin = [0; 8];
        begin.iter_mut().zip(rest).for_each(|(begin, byte)| *begin = byte.to_ascii_lowercase());
        self.look_up(u64::from_le_bytes(begin), rest, 0);
    }

    /// Weighs the stem by which the word there goes on, if any; `begin` is its first eight bytes in lower case, and for
    /// most words all that is looked at.
    #[inline]
    fn look_up(&mut self, begin: u64, text: &[u8], at: usize) {
        let slot = FIRST_KEY.slot(begin);
        if TABLE.first[slot / 64] >> (slot % 64) & 1 == 0 {
            return;
        }
        let slots = [TABLE.short[SHORT_KEY.slot(begin)], TABLE.long[LONG_KEY.slot(begin)]];
        if slots.iter().any(|slot| stems_of(*slot).any(|(_, stem)| stem.begins(begin))) {
            self.stem(text.get(at..).unwrap_or_default(), begin, slots);
        }
    }

    /// Weighs the longest stem of these slots by which the word goes on, if any. Apart, so that to find none is a few
    /// instructions in the loop over words.
    #[inline(never)]
    fn stem(&mut self, rest: &[u8], begin: u64, slots: [u16; 2]) {
        let (mut found, mut length) = (0, 0);
        for (index, stem) in slots.into_iter().flat_map(stems_of) {
            if stem.begins(begin) && stem.text.len() > length && stem.fits(rest) {
                (found, length) = (index, stem.text.len());
            }
        }
        let bit = 1 << (found % 64);
        if length == 0 || self.seen[found / 64] & bit != 0 {
            return;
        }
        self.seen[found / 64] |= bit;
        let weight = TABLE.stems[found].weight;
        let sum = match weight {
            HARD.. => &mut self.hard,
            0.. => &mut self.work,
            _ => &mut self.easy,
        };
        *sum += u32::from(weight.unsigned_abs());
    }
}

/// The stems of a slot, and where they are in the table.
#[inline]
fn stems_of(slot: u16) -> impl Iterator<Item = (usize, &'static Stem)> {
    let mut next = slot;
    std::iter::from_fn(move || {
        let index = usize::from(next).checked_sub(1)?;
        let stem = &TABLE.stems[index];
        next = stem.next;
        Some((index, stem))
    })
}

impl Stem {
    /// Whether a word with these first eight bytes may be one of its.
    #[inline]
    fn begins(&self, begin: u64) -> bool {
        (begin ^ self.begin) & self.mask == 0
    }

    /// Whether a word that begins as it does goes on as it does.
    fn fits(&self, rest: &[u8]) -> bool {
        let length = self.text.len();
        let Some(word) = rest.get(..length) else { return false };
        let alike =
            || word.iter().zip(self.text).skip(8).all(|(byte, ours)| byte.to_ascii_lowercase() == *ours);
        alike() && !(self.whole && rest.get(length).is_some_and(|&next| is_of_word(next)))
    }
}

#[cfg(test)]
pub(super) fn stems() -> &'static [Stem] {
    &TABLE.stems
}

const fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80
}

/// Whether these words of a window are all of few small letters, but for one capital: most are.
fn is_plain(words: u64, window: &Window) -> bool {
    // Where two, four, eight and ten of a word begin.
    let long = [1, 2, 4, LONG as u32 - 8].iter().fold(words, |runs, more| runs & (runs >> more));
    let capitals = words & window.capitals;
    let one_at_most = capitals & capitals.wrapping_sub(1) == 0;
    one_at_most && long | (words & (window.digits | window.foreign)) == 0
}

/// Whether a word has so many of each.
fn is_term(letters: usize, capitals: usize, digits: usize) -> bool {
    letters >= LONG || capitals >= 2 || (letters > 0 && digits > 0)
}

/// Without a branch.
fn is_clause(byte: u8) -> bool {
    (byte == b',') | (byte == b';') | (byte == b':') | (byte == b'?')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As `read` does, byte by byte.
    fn plainly(text: &[u8]) -> Words {
        let mut words = Words::default();
        let mut at = 0;
        while let Some(&byte) = text.get(at) {
            if is_of_word(byte) {
                at += words.read_run(&text[at..]);
            } else {
                words.clauses += u32::from(is_clause(byte));
                at += 1;
            }
        }
        words
    }

    fn piece() -> impl Strategy<Value = String> {
        let stem = prop::sample::select(stems().to_vec())
            .prop_map(|stem| String::from_utf8_lossy(stem.text).into_owned());
        prop_oneof![
            3 => stem.clone(),
            1 => stem.prop_map(|stem| stem.to_uppercase()),
            4 => "[ ,.;:?\\n-]{1,3}",
            3 => "[a-zA-Z0-9]{1,12}",
            1 => "[a-zA-Z0-9]{50,140}",
            1 => "[éÄ料金，；证明デ@\\[`{]{1,3}",
        ]
    }

    #[test]
    fn each_stem_is_found() {
        for stem in stems() {
            let mut words = Words::default();
            words.read(stem.text);
            assert!(words.hard + words.work + words.easy > 0, "{}", String::from_utf8_lossy(stem.text));
        }
    }

    proptest! {
        #[test]
        fn windows_change_nothing(pieces in prop::collection::vec(piece(), 0..60), cut in 0..3_usize) {
            let text = pieces.concat().into_bytes();
            let text = text.get(cut..).unwrap_or_default();
            let mut words = Words::default();
            words.read(text);
            prop_assert_eq!(words, plainly(text));
        }
    }
}
