//! A JSON value that is looked through and not kept: it costs no allocation, and unlike serde's own
//! `IgnoredAny` it counts levels, so that a body nested a million deep is refused here and not by the
//! stack of whoever reads it next.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Any JSON value of at most 127 levels; for an array, whether it has elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bounded {
    Array { empty: bool },
    Object,
    Null,
    Scalar,
}

impl Bounded {
    /// Of a value's text, which is known to be sound.
    pub fn of(text: &[u8]) -> Self {
        match text {
            [b'[', inside @ ..] => Self::Array { empty: inside.trim_ascii_start().starts_with(b"]") },
            [b'{', ..] => Self::Object,
            b"null" => Self::Null,
            _ => Self::Scalar,
        }
    }
}

impl<'de> Deserialize<'de> for Bounded {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(BoundedVisitor)
    }
}

struct BoundedVisitor;

impl<'de> Visitor<'de> for BoundedVisitor {
    type Value = Bounded;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Bounded, E> {
        Ok(Bounded::Scalar)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Bounded, E> {
        Ok(Bounded::Scalar)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Bounded, E> {
        Ok(Bounded::Scalar)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Bounded, E> {
        Ok(Bounded::Scalar)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Bounded, E> {
        Ok(Bounded::Scalar)
    }

    fn visit_unit<E: Error>(self) -> Result<Bounded, E> {
        Ok(Bounded::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Bounded, A::Error> {
        let mut empty = true;
        while seq.next_element::<Bounded>()?.is_some() {
            empty = false;
        }
        Ok(Bounded::Array { empty })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Bounded, A::Error> {
        while map.next_entry::<Bounded, Bounded>()?.is_some() {}
        Ok(Bounded::Object)
    }
}
