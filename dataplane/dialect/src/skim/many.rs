//! Questions to many bytes at once: what stands in strings and in fractions is most of a body, and one
//! byte after the other would be slow.

use wide::u8x16;

/// As many bytes as are asked at once.
pub type Block = [u8; BLOCK];

const BLOCK: usize = size_of::<u8x16>();

/// How many bytes stand in a string for themselves, up to a quote, a backslash or a control character.
pub fn plain(text: &[u8]) -> usize {
    let (blocks, tail) = text.as_chunks();
    for (i, block) in blocks.iter().enumerate() {
        if let Some(at) = first_special(*block) {
            return BLOCK * i + at;
        }
    }
    let mut block = [b'"'; BLOCK];
    let (last, _) = block.split_at_mut(tail.len());
    last.copy_from_slice(tail);
    size_of_val(blocks) + first_special(block).unwrap_or(0)
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

pub fn are_digits(word: [u8; 8]) -> bool {
    const EACH: u64 = u64::MAX / 0xFF;
    // Digits become 0 to 9; whatever is above them then, or is not ASCII, has its highest bit.
    let digits = u64::from_le_bytes(word) ^ (EACH * u64::from(b'0'));
    (digits.wrapping_add(EACH * 0x76) | digits) & (EACH << 7) == 0
}
