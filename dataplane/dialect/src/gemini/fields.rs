//! A caller's fields by either spelling. Apart from `json`, since no other API has two.

use crate::{
    Invalid,
    json::{Node, Object, Shape},
};

/// Takes a field by its camelCase name or by the snake_case one that it stands for.
pub fn take<'a>(object: &mut Object<'a>, name: &str) -> Option<Node<'a>> {
    object.take_any(&[name, &snake(name)])
}

pub fn opt<'a, T>(
    object: &mut Object<'a>,
    name: &str,
    read: impl FnOnce(&Node<'a>) -> Result<T, Invalid>,
) -> Result<Option<T>, Invalid> {
    take(object, name).map(|node| read(&node)).transpose()
}

/// The elements of a list; a single object stands for a list of one, as the API takes it.
pub fn elements<'a>(node: &Node<'a>) -> Result<Vec<Node<'a>>, Invalid> {
    if node.shape() == Shape::Object { Ok(vec![node.clone()]) } else { node.array() }
}

/// The vendor's SDK writes some whole numbers as `40.0`.
pub fn whole(node: &Node<'_>) -> Result<u64, Invalid> {
    node.u64().or_else(|error| match node.text().split_once('.') {
        Some((whole, zeros)) if zeros.bytes().all(|b| b == b'0') => whole.parse().map_err(|_| error),
        _ => Err(error),
    })
}

/// `mimeType` to `mime_type`.
pub fn snake(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}

/// `mime_type` to `mimeType`.
pub fn camel(name: &str) -> String {
    let mut camel = String::with_capacity(name.len());
    let mut raise = false;
    for c in name.chars() {
        if c == '_' {
            raise = true;
        } else {
            camel.push(if std::mem::take(&mut raise) { c.to_ascii_uppercase() } else { c });
        }
    }
    camel
}

/// Base64 as every vendor takes it: the vendor's SDKs write bytes in the URL-safe alphabet, and the API
/// does without padding.
pub fn standard_base64(mut text: String) -> String {
    if memchr::memchr2(b'-', b'_', text.as_bytes()).is_some() {
        text = text.replace('-', "+").replace('_', "/");
    }
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    text
}
