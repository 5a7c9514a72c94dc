//! A caller's JSON, taken apart field by field: whoever takes a field gives its path to the error,
//! and what nobody has taken is left over by name. Values stay where they are in the body until they
//! are wanted: numbers, the order of a schema's properties and megabytes of base64 are not touched.

use std::{borrow::Cow, collections::HashSet, hash::Hash, rc::Rc};

use serde::{
    Deserialize,
    de::{DeserializeOwned, Deserializer, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::{
    Garbled, Invalid, chat,
    skim::{self, Skim},
};

/// A value and where it stands, such as `messages[2].content`.
#[derive(Clone, Debug)]
pub struct Node<'a> {
    place: Option<Place<'a>>,
    /// Sound JSON, with no blanks around it.
    raw: &'a str,
}

/// Where a value stands in what it is a part of. It is spelt when somebody is told of it, which is rare.
#[derive(Clone, Debug)]
struct Place<'a> {
    within: Within<'a>,
    step: Step<'a>,
}

/// Sound UTF-8, which is looked at as text when somebody is told of it.
type Name<'a> = Cow<'a, [u8]>;

/// Where that stands; `None`: it is the body.
type Within<'a> = Option<Rc<Place<'a>>>;

#[derive(Clone, Debug)]
enum Step<'a> {
    Field(Name<'a>),
    Element(usize),
}

impl Place<'_> {
    fn spell(&self, path: &mut String) {
        if let Some(within) = &self.within {
            within.spell(path);
        }
        match &self.step {
            Step::Field(name) if path.is_empty() => path.push_str(&text(name)),
            Step::Field(name) => path.extend([".", &text(name)]),
            Step::Element(index) => path.extend(["[", &index.to_string(), "]"]),
        }
    }
}

/// Of a field; of the body where there is no name.
fn spelt(within: &Within<'_>, name: &str) -> String {
    let mut path = String::new();
    if let Some(within) = within {
        within.spell(&mut path);
    }
    if !path.is_empty() && !name.is_empty() {
        path.push('.');
    }
    path + name
}

/// An object, field by field.
#[derive(Debug)]
pub struct Object<'a> {
    place: Within<'a>,
    fields: Vec<(Name<'a>, &'a str)>,
}

/// What a value is, by its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Object,
    Array,
    String,
    Number,
    Bool,
    Null,
}

impl<'a> Node<'a> {
    pub fn root(body: &'a [u8]) -> Result<Self, Invalid> {
        let vouched = std::str::from_utf8(body).ok().zip(skim::whole(body, Skim::range));
        let raw = match vouched.and_then(|(text, at)| text.get(at)) {
            Some(raw) => raw,
            None => {
                let sound: Result<&RawValue, _> = serde_json::from_slice(body);
                sound.map_err(|error| Invalid::Json { reason: error.to_string() })?.get()
            }
        };
        Ok(Self { place: None, raw })
    }

    pub fn shape(&self) -> Shape {
        match self.raw.as_bytes().first() {
            Some(b'{') => Shape::Object,
            Some(b'[') => Shape::Array,
            Some(b'"') => Shape::String,
            Some(b't' | b'f') => Shape::Bool,
            Some(b'n') => Shape::Null,
            _ => Shape::Number,
        }
    }

    /// The value's text as it stands in the body.
    pub fn text(&self) -> &'a str {
        self.raw
    }

    pub fn raw(&self) -> Result<Box<RawValue>, Invalid> {
        self.parse::<&RawValue>("it must be JSON").map(ToOwned::to_owned)
    }

    /// Such as `messages[2].content`; empty for the body.
    pub fn path(&self) -> String {
        let mut path = String::new();
        if let Some(place) = &self.place {
            place.spell(&mut path);
        }
        path
    }

    fn within(&self) -> Within<'a> {
        self.place.clone().map(Rc::new)
    }

    /// An error about this value; `must` says what is wanted of it, as `must be a string`.
    pub fn invalid(&self, must: impl Into<String>) -> Invalid {
        let path = self.path();
        Invalid::field(if path.is_empty() { "body".to_owned() } else { path }, must)
    }

    fn parse<T: Deserialize<'a>>(&self, must: &str) -> Result<T, Invalid> {
        serde_json::from_str(self.raw).map_err(|_| self.invalid(must))
    }

    pub fn str(&self) -> Result<Cow<'a, str>, Invalid> {
        #[derive(Deserialize)]
        struct Str<'a>(#[serde(borrow)] Cow<'a, str>);
        match self.raw.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
            Some(text) if memchr::memchr(b'\\', text.as_bytes()).is_none() => Ok(Cow::Borrowed(text)),
            _ => self.parse::<Str<'a>>("it must be a string").map(|text| text.0),
        }
    }

    pub fn string(&self) -> Result<String, Invalid> {
        self.str().map(Cow::into_owned)
    }

    pub fn bool(&self) -> Result<bool, Invalid> {
        self.parse("it must be true or false")
    }

    pub fn u64(&self) -> Result<u64, Invalid> {
        self.parse("it must be a whole number, not below 0")
    }

    pub fn i64(&self) -> Result<i64, Invalid> {
        self.parse("it must be a whole number")
    }

    pub fn f64(&self) -> Result<f64, Invalid> {
        self.parse("it must be a number")
    }

    pub fn list<T: DeserializeOwned>(&self, must: &str) -> Result<Vec<T>, Invalid> {
        self.parse(must)
    }

    pub fn array(&self) -> Result<Vec<Self>, Invalid> {
        let raws = match self.elements() {
            Some(raws) => raws,
            None => {
                let raws: Vec<&'a RawValue> = self.parse("it must be an array")?;
                raws.into_iter().map(RawValue::get).collect()
            }
        };
        let within = self.within();
        let place = |i| Some(Place { within: within.clone(), step: Step::Element(i) });
        Ok(raws.into_iter().enumerate().map(|(i, raw)| Node { place: place(i), raw }).collect())
    }

    /// `None` where serde has to say what is wrong.
    fn elements(&self) -> Option<Vec<&'a str>> {
        let mut raws = Vec::new();
        skim::whole(self.raw.as_bytes(), |skim| {
            skim.array(|skim| {
                raws.push(self.raw.get(skim.range()?)?);
                Some(())
            })
        })?;
        Some(raws)
    }

    pub fn object(&self) -> Result<Object<'a>, Invalid> {
        if self.shape() != Shape::Object {
            return Err(self.invalid("it must be an object"));
        }
        let fields = match fields(self.raw) {
            Some(fields) => fields,
            None => {
                let Fields(fields) = self.parse("it must be an object without a field twice")?;
                fields.into_iter().map(|(name, raw)| (bytes(name), raw.get())).collect()
            }
        };
        Ok(Object { place: self.within(), fields })
    }

    /// An object's fields as they stand, such as the entries of `metadata`.
    pub fn entries(&self) -> Result<Vec<(String, Node<'a>)>, Invalid> {
        let Object { place: within, fields } = self.object()?;
        let field = |name| Some(Place { within: within.clone(), step: Step::Field(name) });
        Ok(fields
            .into_iter()
            .map(|(name, raw)| (text(&name).into_owned(), Node { place: field(name), raw }))
            .collect())
    }
}

impl<'a> Object<'a> {
    pub fn root(body: &'a [u8]) -> Result<Self, Invalid> {
        match std::str::from_utf8(body).ok().and_then(fields) {
            Some(fields) => Ok(Self { place: None, fields }),
            None => Node::root(body)?.object(),
        }
    }

    /// The field's value; `None` where it is absent or null.
    pub fn take(&mut self, name: &str) -> Option<Node<'a>> {
        let at = self.fields.iter().position(|(field, _)| **field == *name.as_bytes())?;
        let (name, raw) = self.fields.remove(at);
        let place = Some(Place { within: self.place.clone(), step: Step::Field(name) });
        let node = Node { place, raw };
        (node.shape() != Shape::Null).then_some(node)
    }

    /// As `take`, by the first of several spellings: Gemini takes camelCase and snake_case.
    pub fn take_any(&mut self, names: &[&str]) -> Option<Node<'a>> {
        names.iter().find_map(|name| self.take(name))
    }

    pub fn require(&mut self, name: &str) -> Result<Node<'a>, Invalid> {
        self.take(name).ok_or_else(|| Invalid::missing(self.path_of(name)))
    }

    /// The value of `read` on the field, where it is there.
    pub fn opt<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&Node<'a>) -> Result<T, Invalid>,
    ) -> Result<Option<T>, Invalid> {
        self.take(name).map(|node| read(&node)).transpose()
    }

    /// As that of its node.
    pub fn path(&self) -> String {
        self.path_of("")
    }

    /// Such as `messages[2].content`, of a field that may be there or not.
    pub fn path_of(&self, name: &str) -> String {
        spelt(&self.place, name)
    }

    /// Takes fields that mean nothing to anybody else, and whose loss nobody notices.
    pub fn ignore(&mut self, names: &[&str]) {
        self.fields.retain(|(field, _)| !is_among(names, field));
    }

    /// Notes what nobody has taken: the fields in `hints` as hints, the others as wishes. A null
    /// wishes nothing.
    pub fn leave(self, hints: &[&str], request: &mut Vec<chat::Leftover>) {
        for (name, raw) in &self.fields {
            if *raw != "null" {
                let field = self.path_of(&text(name));
                request.push(chat::Leftover { field, hint: is_among(hints, name) });
            }
        }
    }
}

/// The fields of an object; `None` where serde has to say what is wrong with it.
fn fields(text: &str) -> Option<Vec<(Name<'_>, &str)>> {
    let mut fields = Vec::with_capacity(8);
    skim::whole(text.as_bytes(), |skim| {
        skim.object(|name, skim| {
            fields.push((name, text.get(skim.range()?)?));
            Some(())
        })
    })?;
    (!any_twice(&fields)).then_some(fields)
}

fn bytes(name: Cow<'_, str>) -> Name<'_> {
    match name {
        Cow::Borrowed(name) => Cow::Borrowed(name.as_bytes()),
        Cow::Owned(name) => Cow::Owned(name.into_bytes()),
    }
}

fn text(name: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(name)
}

fn is_among(names: &[&str], field: &[u8]) -> bool {
    names.iter().any(|name| name.as_bytes() == field)
}

/// Whether a name is there twice. Of few, to compare them all is cheapest; a caller may send a million.
fn any_twice<N: Eq + Hash, T>(fields: &[(N, T)]) -> bool {
    let mut names = fields.iter().map(|(name, _)| name);
    if fields.len() > 32 {
        let mut seen = HashSet::with_capacity(fields.len());
        return !names.all(|name| seen.insert(name));
    }
    names.enumerate().any(|(i, name)| fields[..i].iter().any(|(seen, _)| seen == name))
}

pub struct Fields<'a>(pub Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;
        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                #[derive(Deserialize)]
                struct Name<'a>(#[serde(borrow)] Cow<'a, str>);
                let mut fields: Vec<(Cow<'de, str>, &'de RawValue)> = Vec::new();
                while let Some((Name(name), raw)) = map.next_entry::<Name<'de>, &'de RawValue>()? {
                    fields.push((name, raw));
                }
                if any_twice(&fields) {
                    return Err(serde::de::Error::custom("a field twice"));
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(FieldsVisitor)
    }
}

/// A body that has to be an object: serde takes an array for a struct, too.
pub fn object<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Garbled> {
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(Garbled::new("it is not a JSON object"));
    }
    Ok(serde_json::from_slice(body)?)
}

/// Text that serde_json wrote of structs, strings and numbers, which can't fail.
pub fn to_bytes(value: &impl serde::Serialize) -> bytes::Bytes {
    serde_json::to_vec(value).unwrap_or_default().into()
}

/// A tool call's arguments as a JSON object, for APIs that want one; `None` where the text is none.
pub fn arguments(text: &str) -> Option<&RawValue> {
    let text = if text.trim().is_empty() { "{}" } else { text };
    let raw: &RawValue = serde_json::from_str(text).ok()?;
    raw.get().starts_with('{').then_some(raw)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;

    #[test]
    fn fields_are_taken_by_name_and_the_rest_is_left_by_path() {
        let body = br#"{"a":{"b":[1,{"c":"x\u0041"}],"d":null,"e":1.50},"f":true}"#;
        let mut root = Object::root(body).unwrap();
        let mut a = root.require("a").unwrap().object().unwrap();
        let b = a.take("b").unwrap().array().unwrap();
        let mut inner = b[1].object().unwrap();
        assert_eq!(inner.take("c").unwrap().str().unwrap(), "xA");
        assert_eq!(b[0].str().unwrap_err().param(), Some("a.b[0]"));
        assert!(a.take("d").is_none());
        assert_eq!(inner.require("z").unwrap_err().param(), Some("a.b[1].z"));
        let mut left = Vec::new();
        a.leave(&["e"], &mut left);
        root.leave(&[], &mut left);
        let left: Vec<(&str, bool)> = left.iter().map(|l| (l.field.as_str(), l.hint)).collect();
        assert_eq!(left, [("a.e", true), ("f", false)]);
    }

    #[test]
    fn a_field_twice_is_refused() {
        assert!(Object::root(br#"{"a":1,"a":2}"#).is_err());
        assert!(Object::root(br#"{"a":1,"\u0061":2}"#).is_err());
        let many = |last: usize| {
            let fields: Vec<String> = (0..200_000).chain([last]).map(|i| format!(r#""f{i}":{i}"#)).collect();
            format!("{{{}}}", fields.join(","))
        };
        assert!(Object::root(many(7).as_bytes()).is_err());
        assert_eq!(Object::root(many(200_000).as_bytes()).unwrap().fields.len(), 200_001);
    }
}
