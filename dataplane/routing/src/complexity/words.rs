//! Finds the stems in the text of a task. Apart from the list, which is data, and from the counting
//! of bytes, which looks at more of the text.

use super::stems::STEMS;

/// Where in [`STEMS`] those are that start with two bytes, from and to, by [`slot`]. Others may stand
/// between them.
const BY_START: [(u16, u16); 4096] = {
    let mut ranges = [(0, 0); 4096];
    let mut index = 0;
    while index < STEMS.len() {
        let text = STEMS[index].text.as_bytes();
        let range = &mut ranges[slot(text[0], text[1])];
        if range.1 == 0 {
            range.0 = index as u16;
        }
        index += 1;
        range.1 = index as u16;
    }
    ranges
};

/// One for each two letters of a script, whatever the case.
const fn slot(first: u8, second: u8) -> usize {
    let script = (first >= 0x80) as usize;
    let second = if first < 0x80 { second | 0x20 } else { second };
    script << 11 | (first as usize & 31) << 6 | second as usize & 63
}

/// Weights from here on speak of hard work.
const HARD: i8 = 15;

/// What the words of a text weigh. A word counts once, however often it is said: repetition makes
/// nothing harder, and a pasted word list shall not decide.
#[derive(Debug, Default)]
pub(super) struct Words {
    seen: [u64; STEMS.len().div_ceil(64)],
    /// Sum of the weights of words that speak of hard work, in hundredths.
    pub hard: u32,
    /// The same of words that speak of some work.
    pub work: u32,
    /// Sum of those below zero, without the sign.
    pub easy: u32,
    pub numbers: u32,
    /// Commas, semicolons and colons: a task of many parts has many.
    pub clauses: u32,
    /// Letters of scripts in which there is no stem: Japan's too, but for those it shares with China.
    pub unread: u32,
}

impl Words {
    pub fn read(&mut self, text: &[u8]) {
        let mut inside = false;
        for (at, &byte) in text.iter().enumerate() {
            // Chinese has no spaces: each letter, and each wide comma, may start a word.
            let starts = matches!(byte, 0xE3..=0xE9 | 0xEF) || !inside && is_of_word(byte);
            inside = is_of_word(byte);
            match byte {
                b',' | b';' | b':' => self.clauses += 1,
                b'0'..=b'9' if starts => self.numbers += 1,
                // Greek to Arabic, India and Thailand, Korea.
                0xCE..=0xE0 | 0xEA..=0xED => self.unread += 1,
                0xE3 if matches!(text.get(at + 1), Some(0x81..=0x83)) => self.unread += 1,
                _ if starts => self.word(&text[at..]),
                _ => {}
            }
        }
    }

    fn word(&mut self, rest: &[u8]) {
        // The comma, the semicolon, the enumeration comma of Chinese.
        if [&b"\xEF\xBC\x8C"[..], b"\xEF\xBC\x9B", b"\xE3\x80\x81"].iter().any(|mark| rest.starts_with(mark))
        {
            self.clauses += 1;
            return;
        }
        let [first, second, ..] = *rest else { return };
        let (from, to) = BY_START[slot(first, second)];
        let fits = (usize::from(from)..usize::from(to)).rev().find(|&index| {
            let stem = &STEMS[index];
            let length = stem.text.len();
            rest.get(..length).is_some_and(|start| start.eq_ignore_ascii_case(stem.text.as_bytes()))
                && !(stem.whole && rest.get(length).is_some_and(|&next| is_of_word(next)))
        });
        let Some(index) = fits else { return };
        let bit = 1 << (index % 64);
        if self.seen[index / 64] & bit == 0 {
            self.seen[index / 64] |= bit;
            let weight = STEMS[index].weight;
            let sum = match weight {
                HARD.. => &mut self.hard,
                0.. => &mut self.work,
                _ => &mut self.easy,
            };
            *sum += u32::from(weight.unsigned_abs());
        }
    }
}

fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80
}
