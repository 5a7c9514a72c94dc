//! Questions to many bytes at once: what stands in strings and in fractions is most of a body, and one
//! byte after the other would be slow.

use wide::u8x16;

/// As many bytes as are asked at once.
pub type Block = [u8; BLOCK];

const BLOCK: usize = size_of::<u8x16>();
/// As many bytes of a long string.
const LONG: usize = 4 * BLOCK;

/// How many bytes stand in a string for themselves, up to a quote, a backslash or a control character.
pub fn plain(text: &[u8]) -> usize {
    // Of what is long, most has none of these, and is asked at once.
    let mut from = 0;
    while let Some(blocks) = text.get(from..).and_then(<[u8]>::first_chunk) {
        if has_special(blocks) {
            break;
        }
        from += LONG;
    }
    let (blocks, tail) = text.get(from..).unwrap_or_default().as_chunks();
    for (i, block) in blocks.iter().enumerate() {
        if let Some(at) = first_special(*block) {
            return from + BLOCK * i + at;
        }
    }
    let mut block = [b'"'; BLOCK];
    let (last, _) = block.split_at_mut(tail.len());
    last.copy_from_slice(tail);
    from + size_of_val(blocks) + first_special(block).unwrap_or(0)
}

fn has_special(text: &[u8; LONG]) -> bool {
    // With this bit turned, a quote comes next behind the control characters: whether there is any of them is a matter of
    // the least byte.
    const TURNED: u8 = 0x02;
    let (mut least, mut backslashes) = (u8x16::MAX, u8x16::ZERO);
    for block in text.as_chunks().0 {
        let bytes = u8x16::new(*block) ^ u8x16::splat(TURNED);
        least = least.min(bytes);
        backslashes |= bytes.simd_eq(u8x16::splat(b'\\' ^ TURNED));
    }
    let quote = u8x16::splat(b'"' ^ TURNED);
    (least.min(quote).simd_eq(least) | backslashes).to_bitmask() != 0
}

/// Where the first quote, backslash or control character is.
#[inline]
pub fn first_special(block: Block) -> Option<usize> {
    let bytes = u8x16::new(block);
    let is = |byte| bytes.simd_eq(u8x16::splat(byte));
    let control = bytes.min(u8x16::splat(0x1F)).simd_eq(bytes);
    let special = (is(b'"') | is(b'\\') | control).to_bitmask();
    (special != 0).then(|| special.trailing_zeros() as usize)
}

/// Whether so many bytes of a block are ASCII.
#[inline]
pub fn are_ascii(block: Block, len: usize) -> bool {
    u8x16::new(block).to_bitmask() & ((1 << len) - 1) == 0
}

pub fn are_digits(word: [u8; 8]) -> bool {
    const EACH: u64 = u64::MAX / 0xFF;
    // Digits become 0 to 9; whatever is above them then, or is not ASCII, has its highest bit.
    let digits = u64::from_le_bytes(word) ^ (EACH * u64::from(b'0'));
    (digits.wrapping_add(EACH * 0x76) | digits) & (EACH << 7) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_is_not_plain_is_found_wherever_it_is() {
        for len in 0..3 * LONG {
            let mut text = vec![b'a'; len];
            assert_eq!(plain(&text), len);
            for at in 0..len {
                for byte in *b"\x00\x1F !\"#[\\]^\x7F\x80\xFF" {
                    text[at] = byte;
                    let is_special = matches!(byte, 0..0x20 | b'"' | b'\\');
                    assert_eq!(plain(&text), if is_special { at } else { len }, "{byte} at {at} of {len}");
                }
                text[at] = b'a';
            }
        }
    }
}
