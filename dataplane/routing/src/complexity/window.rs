//! What stands in 64 bytes of a text, one bit a byte: words are found, and their letters, capitals and
//! digits told apart, by a few operations on many bytes instead of a look at each.

use wide::u8x16;

/// As many bytes as a mask has bits.
pub(super) const WIDTH: usize = 64;
const BLOCK: usize = size_of::<u8x16>();
/// The bytes that are read: a word that begins in a window may go on behind it.
const READ: usize = WIDTH + BLOCK;
/// What makes a small letter of a capital.
const CASE: u8 = b'a' - b'A';

/// The lowest bit of each mask is the first byte. Behind the end of the text no bit is set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub letters: u64,
    pub capitals: u64,
    pub digits: u64,
    /// Bytes that are not ASCII.
    pub foreign: u64,
    /// The text, capitals as small letters; zeros behind its end.
    lower: [u8; READ],
}

impl Window {
    pub fn of(text: &[u8]) -> Self {
        match text.first_chunk() {
            Some(bytes) => Self::of_all(bytes),
            None => {
                let mut bytes = [0; READ];
                bytes[..text.len()].copy_from_slice(text);
                Self::of_all(&bytes)
            }
        }
    }

    fn of_all(bytes: &[u8; READ]) -> Self {
        let mut window = Self { letters: 0, capitals: 0, digits: 0, foreign: 0, lower: [0; READ] };
        let lower = window.lower.as_chunks_mut().0;
        for (at, (block, lower)) in bytes.as_chunks().0.iter().zip(lower).enumerate() {
            let bytes = u8x16::new(*block);
            let capitals = between(bytes, b'A', b'Z');
            let small = bytes | (capitals & u8x16::splat(CASE));
            *lower = small.to_array();
            if at * BLOCK == WIDTH {
                break;
            }
            let bits = |mask: u8x16| u64::from(mask.to_bitmask()) << (at * BLOCK);
            window.letters |= bits(between(small, b'a', b'z'));
            window.capitals |= bits(capitals);
            window.digits |= bits(between(bytes, b'0', b'9'));
            window.foreign |= bits(bytes);
        }
        window
    }

    /// The bytes of words.
    pub fn words(&self) -> u64 {
        self.letters | self.digits | self.foreign
    }

    /// Eight bytes of the text from there on, the first one lowest; capitals as small letters.
    pub fn lower(&self, at: usize) -> u64 {
        self.lower.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |word| u64::from_le_bytes(*word))
    }
}

/// All bits of each byte that is from one to the other.
fn between(bytes: u8x16, first: u8, last: u8) -> u8x16 {
    bytes.max(u8x16::splat(first)).min(u8x16::splat(last)).simd_eq(bytes)
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
                let lower: Vec<u8> = text.iter().skip(at).map(u8::to_ascii_lowercase).chain([0; 8]).take(8).collect();
                prop_assert_eq!(window.lower(at).to_le_bytes().to_vec(), lower, "at {}", at);
            }
        }
    }
}
