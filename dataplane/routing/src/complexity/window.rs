//! What stands in 64 bytes of a text, one bit a byte: words are found, and their letters, capitals and
//! digits told apart, by a few operations on many bytes instead of a look at each.

/// As many bytes as a mask has bits.
pub(super) const WIDTH: usize = 64;

const EACH: u64 = u64::MAX / 0xFF;
const HIGH: u64 = EACH << 7;

/// The lowest bit of each mask is the first byte. Behind the end of the text no bit is set.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Window {
    pub letters: u64,
    pub capitals: u64,
    pub digits: u64,
    /// Bytes that are not ASCII.
    pub foreign: u64,
}

impl Window {
    pub fn of(text: &[u8]) -> Self {
        match text.first_chunk() {
            Some(bytes) => Self::of_all(bytes),
            None => {
                let mut bytes = [0; WIDTH];
                bytes[..text.len()].copy_from_slice(text);
                Self::of_all(&bytes)
            }
        }
    }

    fn of_all(bytes: &[u8; WIDTH]) -> Self {
        let mut window = Self::default();
        for (at, word) in bytes.as_chunks().0.iter().enumerate() {
            let word = u64::from_le_bytes(*word);
            let bits = |high| bits(high) << (8 * at);
            let ascii = !word & HIGH;
            let capitals = ascii & between(word, b'A', b'Z');
            window.letters |= bits(ascii & between(word | (0x20 * EACH), b'a', b'z'));
            window.capitals |= bits(capitals);
            window.digits |= bits(ascii & between(word, b'0', b'9'));
            window.foreign |= bits(word & HIGH);
        }
        window
    }

    /// The bytes of words.
    pub fn words(&self) -> u64 {
        self.letters | self.digits | self.foreign
    }
}

/// ASCII letters of eight bytes in lower case, as `to_ascii_lowercase` has them.
pub(super) fn lower(word: u64) -> u64 {
    word | (!word & HIGH & between(word, b'A', b'Z')) >> 2
}

/// The highest bit of each byte that is from one to the other, whatever its own highest bit is.
fn between(word: u64, first: u8, last: u8) -> u64 {
    let low = word & !HIGH;
    let at_least = |byte: u8| low + EACH * u64::from(0x80 - byte);
    at_least(first) & !at_least(last + 1)
}

/// The highest bits of eight bytes, side by side.
fn bits(high: u64) -> u64 {
    (high >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes(text in prop::collection::vec(any::<u8>(), 0..100)) {
            let window = Window::of(&text);
            for at in 0..WIDTH {
                let byte = text.get(at).copied().unwrap_or(0);
                let bits = [window.letters, window.capitals, window.digits, window.foreign].map(|mask| mask >> at & 1 == 1);
                let expected =
                    [byte.is_ascii_alphabetic(), byte.is_ascii_uppercase(), byte.is_ascii_digit(), byte >= 0x80];
                prop_assert_eq!(bits, expected, "{} at {}", byte, at);
            }
        }

        #[test]
        fn any_word(word: [u8; 8]) {
            prop_assert_eq!(lower(u64::from_le_bytes(word)).to_le_bytes().to_vec(), word.to_ascii_lowercase());
        }
    }
}
