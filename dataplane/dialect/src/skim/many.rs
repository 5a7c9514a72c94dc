//! Questions to many bytes at once: what stands in strings and in fractions is most of a body, and one
//! byte after the other would be slow.

/// How many bytes stand in a string for themselves, up to a quote, a backslash or a control character.
pub fn plain(text: &[u8]) -> usize {
    // Of a text with escapes, the pieces are short: for them it takes longer to look at blocks, and
    // again at the words of the last one.
    let near = text.get(..96).unwrap_or(text);
    let (words, tail) = near.as_chunks();
    match first_special(words) {
        Some(at) => at,
        None if near.len() < text.len() => plain_by_blocks(text, near.len()),
        None => 8 * words.len() + tail.iter().take_while(|byte| special(**byte) != 0).count(),
    }
}

/// As `plain`, of a text whose first bytes, some words, are known to be. It is not put into `plain`,
/// which has far less to set up for the many strings that end before.
#[inline(never)]
fn plain_by_blocks(text: &[u8], known: usize) -> usize {
    let (blocks, _) = text.get(known..).unwrap_or_default().as_chunks();
    let from = known + 32 * blocks.iter().take_while(|block| is_plain(block)).count();
    let (words, tail) = text.get(from..).unwrap_or_default().as_chunks();
    let at = first_special(words)
        .unwrap_or_else(|| 8 * words.len() + tail.iter().take_while(|byte| special(**byte) != 0).count());
    from + at
}

/// Zero for a quote, a backslash and a control character.
fn special(byte: u8) -> u8 {
    (byte ^ b'"').min(byte ^ b'\\').min(byte & 0xE0)
}

/// All bytes are looked at, whatever the first one says, which the processor does with many at a time.
fn is_plain(block: &[u8; 32]) -> bool {
    !block.iter().fold(false, |any, byte| any | (special(*byte) == 0))
}

/// Where the first special byte is.
pub fn first_special(words: &[[u8; 8]]) -> Option<usize> {
    words.iter().enumerate().find_map(|(i, word)| {
        let special = specials(u64::from_le_bytes(*word));
        (special != 0).then(|| 8 * i + special.trailing_zeros() as usize / 8)
    })
}

/// The highest bit of each byte that is special. Only the lowest of them is sure: a subtraction borrows
/// from the bytes above.
fn specials(bytes: u64) -> u64 {
    const EACH: u64 = u64::MAX / 0xFF;
    // With its second bit turned, a quote is the blank, next to the control characters, which stay
    // what they are among themselves.
    let low = (bytes ^ (EACH * 2)).wrapping_sub(EACH * 0x21);
    let backslash = (bytes ^ (EACH * u64::from(b'\\'))).wrapping_sub(EACH);
    (low | backslash) & !bytes & (EACH << 7)
}

pub fn are_digits(word: [u8; 8]) -> bool {
    const EACH: u64 = u64::MAX / 0xFF;
    // Digits become 0 to 9; whatever is above them then, or is not ASCII, has its highest bit.
    let digits = u64::from_le_bytes(word) ^ (EACH * u64::from(b'0'));
    (digits.wrapping_add(EACH * 0x76) | digits) & (EACH << 7) == 0
}
