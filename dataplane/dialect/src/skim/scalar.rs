//! What is passed letter by letter: literals, numbers and the escapes of strings.

use super::{Skim, many::are_digits, parsed};

impl Skim<'_> {
    pub(super) fn literal(&mut self, literal: &[u8]) -> Option<()> {
        let there = self.rest().starts_with(literal);
        self.at += literal.len();
        there.then_some(())
    }

    fn digits(&mut self) -> usize {
        let from = self.at;
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
        self.at - from
    }

    pub(super) fn number(&mut self) -> Option<()> {
        let from = self.at;
        self.at += usize::from(self.peek() == b'-');
        match self.peek() {
            // Digits behind a zero are nothing that can follow a number.
            b'0' => self.at += 1,
            _ if self.digits() == 0 => return None,
            _ => {}
        }
        if self.peek() == b'.' {
            self.at += 1;
            // Vectors are thousands of these, and most of each is its fraction.
            let fraction = self.at;
            while self.rest().first_chunk().is_some_and(|word| are_digits(*word)) {
                self.at += 8;
            }
            if self.digits() == 0 && self.at == fraction {
                return None;
            }
        }
        let mut exponent = 0;
        if matches!(self.peek(), b'e' | b'E') {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), b'+' | b'-'));
            exponent = self.digits();
            if exponent == 0 {
                return None;
            }
        }
        // Below 10^299 every number fits; whether a larger one does, serde_json has to say.
        if exponent > 2 || self.at - from > 200 {
            parsed::<f64>(self.text.get(from..self.at)?)?;
        }
        Some(())
    }

    /// An escape, at whose backslash it is.
    pub(super) fn escape(&mut self) -> Option<()> {
        let escape = *self.text.get(self.at + 1)?;
        self.at += 2;
        match escape {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(()),
            b'u' => self.unicode(),
            _ => None,
        }
    }

    /// What follows `\u`. Surrogates have to come in pairs.
    fn unicode(&mut self) -> Option<()> {
        let (first, behind) = self.rest().split_first_chunk()?;
        self.at += first.len();
        match unit(first)? {
            0xDC00..=0xDFFF => None,
            0xD800..=0xDBFF => {
                let second = behind.strip_prefix(b"\\u")?.first_chunk()?;
                self.at += 2 + second.len();
                matches!(unit(second)?, 0xDC00..=0xDFFF).then_some(())
            }
            _ => Some(()),
        }
    }
}

/// A unit of UTF-16 in hexadecimal digits.
fn unit(digits: &[u8; 4]) -> Option<u32> {
    digits.iter().try_fold(0, |unit, digit| Some(unit << 4 | char::from(*digit).to_digit(16)?))
}
