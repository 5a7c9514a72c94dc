//! JSON as people read it. The order of fields stays: it is the order in which a model answers.

/// Indents; what fits on a line is on one.
pub fn pretty(json: &[u8]) -> String {
    let json = std::str::from_utf8(json).unwrap();
    serde_json::from_str::<serde::de::IgnoredAny>(json).unwrap_or_else(|error| panic!("{error}: {json}"));
    let mut out = String::new();
    write(compact(json).as_str(), 0, &mut out);
    out.push('\n');
    out
}

const WIDTH: usize = 110;

/// Without blanks between the tokens but for one behind each colon and comma.
fn compact(json: &str) -> String {
    let mut out = String::new();
    let (mut string, mut escape) = (false, false);
    for c in json.chars() {
        if string {
            out.push(c);
            (string, escape) = (escape || c != '"', c == '\\' && !escape);
        } else if !c.is_ascii_whitespace() {
            out.push(c);
            string = c == '"';
            if matches!(c, ':' | ',') {
                out.push(' ');
            }
        }
    }
    out
}

fn write(json: &str, depth: usize, out: &mut String) {
    let indent = "  ".repeat(depth);
    if json.chars().count() + indent.len() <= WIDTH || !json.starts_with(['{', '[']) {
        out.push_str(json);
        return;
    }
    out.push_str(&json[..1]);
    out.push('\n');
    for (i, element) in elements(&json[1..json.len() - 1]).into_iter().enumerate() {
        if i > 0 {
            out.push_str(",\n");
        }
        out.push_str(&indent);
        out.push_str("  ");
        // A field's name, and its value below it where that is long.
        let value = if json.starts_with('{') { behind_name(element) } else { 0 };
        out.push_str(&element[..value]);
        write(&element[value..], depth + 1, out);
    }
    out.push('\n');
    out.push_str(&indent);
    out.push_str(&json[json.len() - 1..]);
}

/// Cuts at the commas that are inside of nothing.
fn elements(json: &str) -> Vec<&str> {
    let mut elements = Vec::new();
    let (mut depth, mut string, mut escape, mut from) = (0_usize, false, false, 0);
    for (at, c) in json.char_indices() {
        if string {
            (string, escape) = (escape || c != '"', c == '\\' && !escape);
            continue;
        }
        match c {
            '"' => string = true,
            '{' | '[' => depth += 1,
            '}' | ']' => depth -= 1,
            ',' if depth == 0 => {
                elements.push(json[from..at].trim());
                from = at + 1;
            }
            _ => {}
        }
    }
    elements.push(json[from..].trim());
    elements
}

fn behind_name(field: &str) -> usize {
    let mut escape = false;
    let end = field.char_indices().skip(1).find(|(_, c)| {
        let end = *c == '"' && !escape;
        escape = *c == '\\' && !escape;
        end
    });
    end.map_or(0, |(at, _)| at + 3)
}
