//! Names of models with `*` in them, for any text.

/// Whether `name` fits `pattern`.
#[must_use]
pub fn fits(pattern: &str, name: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(name) = name.strip_prefix(head) else { return false };
    let (inner, tail) = rest.rsplit_once('*').map_or(("", rest), |(inner, tail)| (inner, tail));
    let Some(mut name) = name.strip_suffix(tail) else { return false };
    // The first place is as good as any other: what follows has all the more to be found in.
    inner.split('*').all(|part| match name.find(part) {
        Some(at) => {
            name = &name[at + part.len()..];
            true
        }
        None => false,
    })
}

/// Whether it is a pattern, not a name.
#[must_use]
pub fn is_pattern(text: &str) -> bool {
    text.contains('*')
}

/// How much of it is said: a pattern that says more is the more specific one.
#[must_use]
pub fn literal_len(pattern: &str) -> usize {
    pattern.len() - pattern.matches('*').count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_star_is_any_text_even_none() {
        for (pattern, name, expected) in [
            ("gpt-4o", "gpt-4o", true),
            ("gpt-4o", "gpt-4o-mini", false),
            ("*", "", true),
            ("gpt-*", "gpt-", true),
            ("gpt-*", "gpt", false),
            ("*-mini", "gpt-4o-mini", true),
            ("*-mini", "gpt-4o-mini-2", false),
            ("gpt-*-mini", "gpt-mini", false),
            ("a*a", "a", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("**", "x", true),
            ("ü*ü", "üü", true),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
        assert_eq!(literal_len("gpt-*-mini*"), 9);
    }

    /// The plain definition: a star takes some characters or none.
    fn naive(pattern: &[char], name: &[char]) -> bool {
        match (pattern.split_first(), name.split_first()) {
            (None, None) => true,
            (Some(('*', rest)), _) => (0..=name.len()).any(|taken| naive(rest, &name[taken..])),
            (Some((a, pattern)), Some((b, name))) => a == b && naive(pattern, name),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn it_agrees_with_the_definition(pattern in "[ab*]{0,8}", name in "[ab]{0,8}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(fits(&pattern, &name), naive(&chars(&pattern), &chars(&name)));
        }
    }
}
