//! Reads the text of a task word by word. Apart from the list of words, which is data, and from the
//! counting of bytes, which looks at more of the text.

use super::stems::GROUPS;

/// How the text of a task may go on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stem {
    /// The first three bytes of the text: most words that meet it differ there.
    begin: [u8; 3],
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

/// The stems, and the first of each slot, as its index and one. Made when this is compiled.
struct Table {
    stems: [Stem; COUNT],
    first: [u16; 4096],
}

static TABLE: Table = {
    let mut table = Table {
        stems: [Stem { begin: [0; 3], text: b"", weight: 0, whole: false, next: 0 }; COUNT],
        first: [0; 4096],
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
            let begin = begin(text[0], text[1], text[2]);
            let slot = slot(begin);
            table.stems[index] =
                Stem { begin, text, weight: GROUPS[group].weight, whole, next: table.first[slot] };
            index += 1;
            table.first[slot] = index as u16;
            rest = rest.split_at(if end < rest.len() { end + 1 } else { end }).1;
        }
        group += 1;
    }
    table
};

/// By the first three bytes; by fewer, most words would meet many stems.
const fn slot([first, second, third]: [u8; 3]) -> usize {
    let script = (first >= 0x80) as usize;
    let [first, second, third] = [first & 31, second & 63, third & 63];
    script << 11 | (first as usize * 961 + second as usize * 31 + third as usize) & 0x7FF
}

/// The same of a word and of a stem, whatever the case of ASCII.
const fn begin(first: u8, second: u8, third: u8) -> [u8; 3] {
    [fold(first), fold(second), fold(third)]
}

/// ASCII letters in lower case; what becomes of other ASCII matters as little as whom it meets.
const fn fold(byte: u8) -> u8 {
    if byte < 0x80 { byte | 0x20 } else { byte }
}

/// Weights from here on speak of hard work.
const HARD: i8 = 15;
/// The letters from which on a word is long.
const LONG: u64 = 10;

/// What the words of a text weigh. A stem counts once, however often it is said: repetition makes
/// nothing harder, and a pasted word list shall not decide.
#[derive(Debug)]
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

/// What a byte adds to the shape of the word that it is in: letters, capitals and digits are counted
/// in 16 bits each, so that one addition counts them all. No task is long enough to fill them. A byte
/// that is of no word has [`END`], one that is not ASCII [`FOREIGN`].
static SHAPES: [u64; 256] = {
    let mut shapes = [FOREIGN; 256];
    let mut byte = 0;
    while byte < 128 {
        let ascii = byte as u8;
        shapes[byte] = (!is_of_word(ascii) as u64 * END)
            | ascii.is_ascii_alphabetic() as u64
            | (ascii.is_ascii_uppercase() as u64) << 16
            | (ascii.is_ascii_digit() as u64) << 32;
        byte += 1;
    }
    shapes
};

const FOREIGN: u64 = 1 << 62;
const END: u64 = 1 << 63;

fn is_term(shape: u64) -> bool {
    let [letters, capitals, digits] = [0, 16, 32].map(|shift| shape >> shift & 0xFFFF);
    letters >= LONG || capitals >= 2 || (letters > 0 && digits > 0)
}

impl Words {
    pub fn read(&mut self, text: &[u8]) {
        let mut at = 0;
        while let Some(&byte) = text.get(at) {
            if !is_of_word(byte) {
                self.clauses += u32::from(matches!(byte, b',' | b';' | b':' | b'?'));
                at += 1;
                continue;
            }
            let rest = &text[at..];
            if byte.is_ascii_digit() {
                self.numbers += 1;
            } else {
                self.word(rest);
            }
            at += self.run(rest);
        }
    }

    /// Reads to the end of the word, and says where that is.
    fn run(&mut self, text: &[u8]) -> usize {
        let mut shape = 0;
        let mut end = text.len();
        for (at, &byte) in text.iter().enumerate() {
            let adds = SHAPES[usize::from(byte)];
            shape += adds;
            if adds >= FOREIGN {
                if adds == END {
                    end = at;
                    break;
                }
                shape -= FOREIGN;
                self.foreign(&text[at..], at > 0);
            }
        }
        self.terms += u32::from(is_term(shape));
        end
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

    fn word(&mut self, rest: &[u8]) {
        let [first, second, third, ..] = *rest else { return };
        // The comma, the semicolon and the question mark of Chinese, and its comma in lists.
        if let [0xEF, 0xBC, 0x8C | 0x9B | 0x9F, ..] | [0xE3, 0x80, 0x81, ..] = rest {
            self.clauses += 1;
            return;
        }
        let begin = begin(first, second, third);
        let (mut next, mut found, mut length) = (TABLE.first[slot(begin)], 0, 0);
        while let Some(index) = usize::from(next).checked_sub(1) {
            let stem = &TABLE.stems[index];
            if stem.begin == begin && stem.text.len() > length && stem.fits(rest) {
                (found, length) = (index, stem.text.len());
            }
            next = stem.next;
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

impl Stem {
    fn fits(&self, rest: &[u8]) -> bool {
        let length = self.text.len();
        // Most that begin alike differ soon: byte by byte that is found out before a comparison of whole texts
        // would have been set up.
        let alike = |(byte, ours): (&u8, &u8)| byte.to_ascii_lowercase() == *ours;
        length <= rest.len()
            && rest.iter().zip(self.text).all(alike)
            && !(self.whole && rest.get(length).is_some_and(|&next| is_of_word(next)))
    }
}

#[cfg(test)]
pub(super) fn stems() -> &'static [Stem] {
    &TABLE.stems
}

const fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80
}
