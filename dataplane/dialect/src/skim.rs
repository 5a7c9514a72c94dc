//! JSON that is walked over and not taken apart: where the fields of an object stand, and whether
//! everything between them is sound. Of a call that passes, a few dozen bytes are wanted; all that a
//! parser does for the others, copying strings and counting up numbers, would be for nothing.
//!
//! It vouches or it doesn't. What it vouches for, serde_json takes too, as a value of at most 127
//! levels with its text in UTF-8; where it does not, serde_json is asked as if nothing had been tried,
//! so that what is refused, and in which words, is said in one place.

mod many;
mod scalar;

use std::{borrow::Cow, ops::Range};

use serde::de::DeserializeOwned;

use many::{are_ascii, first_special, plain};

/// As many as serde_json takes.
const MAX_LEVELS: u32 = 127;

/// A place in a text. What stands before it is sound, but for what is not ASCII, of which only the
/// names of fields are looked at: the values are the affair of whoever wants to know.
pub struct Skim<'a> {
    text: &'a [u8],
    at: usize,
    /// How many objects and arrays it is in.
    levels: u32,
}

/// Reads a text whole; `None` where it can't be vouched for.
pub fn whole<'a, T>(text: &'a [u8], read: impl FnOnce(&mut Skim<'a>) -> Option<T>) -> Option<T> {
    let mut skim = Skim { text, at: 0, levels: 0 };
    let value = read(&mut skim)?;
    skim.blanks();
    (skim.at == text.len()).then_some(value)
}

/// The value behind a name and its colon, whatever stands behind it.
pub fn value_behind(text: &[u8]) -> Option<&[u8]> {
    let mut skim = Skim { text, at: 0, levels: 0 };
    skim.expect(b':')?;
    skim.raw()
}

impl<'a> Skim<'a> {
    /// The byte that is next; behind the end a zero, which nothing in JSON begins with.
    fn peek(&self) -> u8 {
        self.text.get(self.at).copied().unwrap_or(0)
    }

    fn rest(&self) -> &'a [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Passes blanks and gives what follows them.
    fn blanks(&mut self) -> u8 {
        while matches!(self.peek(), b' ' | b'\n' | b'\r' | b'\t') {
            self.at += 1;
        }
        self.peek()
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        let there = self.blanks() == byte;
        self.at += 1;
        there.then_some(())
    }

    /// Passes an object; `each` is called with the name of a field, without its escapes, and passes
    /// its value.
    pub fn object(&mut self, mut each: impl FnMut(Cow<'a, [u8]>, &mut Self) -> Option<()>) -> Option<()> {
        self.expect(b'{')?;
        self.levels += 1;
        if self.levels > MAX_LEVELS {
            return None;
        }
        if self.blanks() != b'}' {
            loop {
                let name = self.name()?;
                each(name, self)?;
                match self.blanks() {
                    b',' => self.at += 1,
                    b'}' => break,
                    _ => return None,
                }
            }
        }
        self.at += 1;
        self.levels -= 1;
        Some(())
    }

    /// Passes an array; `each` passes an element.
    pub fn array(&mut self, mut each: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.expect(b'[')?;
        self.levels += 1;
        if self.levels > MAX_LEVELS {
            return None;
        }
        if self.blanks() != b']' {
            loop {
                each(self)?;
                match self.blanks() {
                    b',' => self.at += 1,
                    b']' => break,
                    _ => return None,
                }
            }
        }
        self.at += 1;
        self.levels -= 1;
        Some(())
    }

    /// Passes an object; `each` is called with those of its fields that are among `names`, which are
    /// there once at most: of two, it would be serde_json's to say which counts.
    pub fn fields<const N: usize>(
        &mut self,
        names: [&'static str; N],
        mut each: impl FnMut(&'static str, &mut Self) -> Option<()>,
    ) -> Option<()> {
        let mut seen = [false; N];
        self.object(|name, skim| {
            let known = names.iter().zip(&mut seen).find(|(known, _)| known.as_bytes() == name.as_ref());
            match known {
                None => skim.value(),
                Some((_, true)) => None,
                Some((known, seen)) => {
                    *seen = true;
                    each(known, skim)
                }
            }
        })
    }

    /// Passes an object and gives the counts in some of its fields.
    pub fn counts<const N: usize>(&mut self, names: [&'static str; N]) -> Option<[Option<u64>; N]> {
        let mut counts = [None; N];
        self.fields(names, |known, skim| {
            let count = skim.count()?;
            let place = names.iter().zip(&mut counts).find(|(name, _)| **name == known);
            place.map(|(_, place)| *place = count)
        })?;
        Some(counts)
    }

    /// Passes what `read` does, or a null.
    pub fn optional<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        if self.blanks() == b'n' { self.literal(b"null").map(|()| None) } else { read(self).map(Some) }
    }

    /// Passes a number that is whole and not below zero, or a null.
    pub fn count(&mut self) -> Option<Option<u64>> {
        self.optional(|skim| {
            let (from, mut count) = (skim.at, 0_u64);
            while let digit @ b'0'..=b'9' = skim.peek() {
                count = count.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
                skim.at += 1;
            }
            // What may follow digits in a number can't follow a value.
            let unsound = matches!(skim.text.get(from..skim.at)?, [] | [b'0', _, ..]);
            (!unsound).then_some(count)
        })
    }

    /// As `value`, where it is likely to be a string.
    #[inline]
    pub fn text(&mut self) -> Option<()> {
        if self.blanks() == b'"' { self.string().map(|_| ()) } else { self.value() }
    }

    /// Passes a string and gives it without its escapes.
    pub fn unescaped(&mut self) -> Option<Cow<'a, [u8]>> {
        if self.blanks() != b'"' {
            return None;
        }
        let from = self.at;
        let escaped = self.string()?;
        if escaped {
            return parsed::<String>(self.text.get(from..self.at)?).map(|text| Cow::Owned(text.into_bytes()));
        }
        self.text.get(from + 1..self.at - 1).map(Cow::Borrowed)
    }

    /// Passes a value and gives its text.
    pub fn raw(&mut self) -> Option<&'a [u8]> {
        self.text_of(Self::value)
    }

    /// Passes what `read` passes and gives its text.
    pub fn text_of(&mut self, read: impl FnOnce(&mut Self) -> Option<()>) -> Option<&'a [u8]> {
        let from = self.place();
        read(self)?;
        self.text.get(from..self.at)
    }

    /// Passes a value and says where it stands.
    pub fn range(&mut self) -> Option<Range<usize>> {
        let from = self.place();
        self.value()?;
        Some(from..self.at)
    }

    /// Where the next value begins.
    pub fn place(&mut self) -> usize {
        self.blanks();
        self.at
    }

    /// What the next value begins with.
    pub fn first(&mut self) -> u8 {
        self.blanks()
    }

    /// Passes a value. Of the levels in it, the lowest bit of `objects` says whether the innermost is an
    /// object, the next one what that stands in: no recursion, whatever is sent.
    pub fn value(&mut self) -> Option<()> {
        let (mut levels, mut objects) = (self.levels, 0_u128);
        loop {
            match self.blanks() {
                b'"' => _ = self.string()?,
                open @ (b'{' | b'[') => {
                    self.at += 1;
                    levels += 1;
                    if levels > MAX_LEVELS {
                        return None;
                    }
                    objects = objects << 1 | u128::from(open == b'{');
                    match (open, self.blanks()) {
                        // Empty: it is closed below.
                        (b'{', b'}') | (b'[', b']') => {}
                        (b'{', _) => {
                            self.key()?;
                            continue;
                        }
                        _ => continue,
                    }
                }
                b't' => self.literal(b"true")?,
                b'f' => self.literal(b"false")?,
                b'n' => self.literal(b"null")?,
                _ => self.number()?,
            }
            // Behind a value: whatever ends here, or what follows beside it.
            loop {
                if levels == self.levels {
                    return Some(());
                }
                let in_object = objects & 1 == 1;
                match self.blanks() {
                    b',' => {
                        self.at += 1;
                        if in_object {
                            self.key()?;
                        }
                        break;
                    }
                    b'}' if in_object => {}
                    b']' if !in_object => {}
                    _ => return None,
                }
                self.at += 1;
                levels -= 1;
                objects >>= 1;
            }
        }
    }

    /// A name and its colon.
    fn key(&mut self) -> Option<()> {
        if self.blanks() != b'"' {
            return None;
        }
        self.string()?;
        self.expect(b':')
    }

    /// As `key`, and gives the name.
    #[inline]
    fn name(&mut self) -> Option<Cow<'a, [u8]>> {
        self.blanks();
        match self.short_name() {
            Some(name) => Some(Cow::Borrowed(name)),
            None => self.any_name(),
        }
    }

    /// A name as most are: it ends within a block, and its colon follows at once.
    #[inline]
    fn short_name(&mut self) -> Option<&'a [u8]> {
        let (b'"', name) = self.rest().split_first()? else { return None };
        let block = *name.first_chunk()?;
        let len = first_special(block)?;
        let ([b'"', b':'], true) = (name.get(len..len + 2)?, are_ascii(block, len)) else { return None };
        self.at += len + 3;
        name.get(..len)
    }

    fn any_name(&mut self) -> Option<Cow<'a, [u8]>> {
        let name = self.unescaped()?;
        self.expect(b':')?;
        std::str::from_utf8(&name).is_ok().then_some(name)
    }

    /// Passes a string, at whose opening quote it is; says whether it has escapes.
    #[inline]
    fn string(&mut self) -> Option<bool> {
        self.at += 1;
        // Most names end within a block.
        if let Some(block) = self.rest().first_chunk()
            && let Some(len) = first_special(*block)
            && block.get(len) == Some(&b'"')
        {
            self.at += len + 1;
            return Some(false);
        }
        self.rest_of_string()
    }

    fn rest_of_string(&mut self) -> Option<bool> {
        let mut escaped = false;
        loop {
            self.at += plain(self.rest());
            match self.peek() {
                b'"' => {
                    self.at += 1;
                    return Some(escaped);
                }
                b'\\' => self.escape()?,
                _ => return None,
            }
            escaped = true;
        }
    }
}

/// By serde_json, for what is rare and subtle.
fn parsed<T: DeserializeOwned>(text: &[u8]) -> Option<T> {
    serde_json::from_slice(text).ok()
}

#[cfg(test)]
mod tests;
