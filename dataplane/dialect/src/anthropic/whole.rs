//! Whether the fragments of a JSON object have come to their end, without keeping them.

#[derive(Clone, Copy, Debug, Default)]
pub struct Whole {
    begun: bool,
    depth: u32,
    string: bool,
    escape: bool,
}

impl Whole {
    pub fn push(&mut self, fragment: &str) {
        for byte in fragment.bytes() {
            match byte {
                _ if self.escape => self.escape = false,
                b'\\' => self.escape = self.string,
                b'"' => self.string = !self.string,
                _ if self.string => {}
                b'{' | b'[' => {
                    self.begun = true;
                    self.depth += 1;
                }
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
    }

    pub fn is_whole(&self) -> bool {
        self.begun && self.depth == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_whole_at_its_last_brace_only_wherever_it_is_cut() {
        let text = r#"{"a\\":"}\"]","b":[{"c":{}}]}"#;
        for cut in 0..text.len() {
            let mut whole = Whole::default();
            whole.push(&text[..cut]);
            assert!(!whole.is_whole(), "{}", &text[..cut]);
            whole.push(&text[cut..]);
            assert!(whole.is_whole());
        }
    }
}
