//! What a body asks for beside its text, noted while the envelope passes over it: no second reading,
//! and nothing is kept but figures and, of what can't be bounded, a name.
//!
//! Each API says of each of its fields what it adds. A field that the table does not have is not
//! passed over: some vendor may read anything from it.

use std::ops::Range;

use crate::skim::Skim;

/// What a field adds to a call, beside the bytes that it has.
#[derive(Clone, Copy, Debug)]
pub enum Adds {
    Nothing,
    /// It is structure, which a server may write out anew, with blanks and line ends.
    Rendered,
    /// As `Rendered`; and for its sake the server tells the model how to call tools.
    Tools,
    /// Objects, alone or in lists, of these fields. What is no object adds nothing.
    In(Table),
    /// A picture, by URL or in base64.
    Image,
    /// A list of pictures.
    Images,
    /// Tokens that are not in the body. The model's window bounds them.
    Beyond,
    /// The provider may ask the model more than once, or more than it is told: nothing bounds that.
    Loops,
    /// The limit of output, by the first or the second of its names.
    Limit(usize),
    /// As `Limit(0)`, to servers that take 0 for what it is.
    LimitFromZero,
    /// How many answers are wanted.
    Choices,
    /// Text that is billed as output, where the answer turns out otherwise.
    Predicted,
    /// The object that holds the limit, with its fields.
    Config(Table),
    /// What takes more to tell.
    By(fn(&mut Skim<'_>, &mut Asked) -> Option<()>),
}

/// What each field of an object adds.
pub type Table = fn(&[u8]) -> Adds;

/// What a body asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Bytes of structure.
    pub rendered: u64,
    pub images: u64,
    /// It has tools.
    pub tools: bool,
    /// Tools whose description is the vendor's, and how long it says that it is.
    pub vendors_tools: u64,
    /// The first field whose tokens only the window bounds.
    pub beyond: Option<Box<str>>,
    /// The first field that nothing bounds.
    pub loops: Option<Box<str>>,
    pub output: Wanted,
}

/// What a body says of the output.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The most tokens of one answer; of two names for it, the larger number.
    pub most: Option<u64>,
    /// How many answers; 0 where it does not say.
    pub choices: u64,
    /// Bytes of predicted output.
    pub predicted: u64,
    /// By its names: where the limit stands with a value that is none.
    pub holes: [Option<Range<usize>>; 2],
    /// By its names: whether it was read.
    pub seen: [bool; 2],
    /// Where the object stands that holds the limit.
    pub config: Option<Range<usize>>,
}

const LIMITS: [&str; 5] = ["max_tokens", "max_completion_tokens", "max_output_tokens", "n", "options"];

impl Asked {
    /// Of a body that can't be looked through.
    pub fn unknown() -> Self {
        Self { loops: Some("body".into()), ..Self::default() }
    }

    /// Servers in Go read names in either case: one that differs from a limit's by that alone may be
    /// the limit.
    pub fn beyond(&mut self, field: &[u8]) {
        let is_limit = LIMITS.iter().any(|limit| field.eq_ignore_ascii_case(limit.as_bytes()));
        if is_limit || !field.is_ascii() {
            self.loops(field);
        } else {
            self.beyond.get_or_insert_with(|| printable(field));
        }
    }

    pub fn loops(&mut self, field: &[u8]) {
        self.loops.get_or_insert_with(|| printable(field));
    }
}

/// A caller's name for a field, cut to what a message can hold.
fn printable(field: &[u8]) -> Box<str> {
    String::from_utf8_lossy(field).chars().take(64).collect::<String>().into()
}

/// Passes the value of `field` and notes what it adds.
pub fn pass(adds: Adds, field: &[u8], skim: &mut Skim<'_>, asked: &mut Asked) -> Option<()> {
    match adds {
        Adds::Nothing => skim.text(),
        Adds::In(table) => each(table, skim, asked),
        Adds::Rendered => {
            asked.rendered += skim.raw()?.len() as u64;
            Some(())
        }
        Adds::Tools => {
            let raw = skim.raw()?;
            asked.tools |= wishes(raw);
            asked.rendered += raw.len() as u64;
            Some(())
        }
        Adds::Image => {
            asked.images += u64::from(wishes(skim.raw()?));
            Some(())
        }
        Adds::Images if skim.first() == b'[' => skim.array(|skim| {
            asked.images += 1;
            skim.value()
        }),
        Adds::Images | Adds::Beyond => {
            if wishes(skim.raw()?) {
                asked.beyond(field);
            }
            Some(())
        }
        Adds::Loops => {
            if wishes(skim.raw()?) {
                asked.loops(field);
            }
            Some(())
        }
        Adds::Limit(name) => limit(name, 1, field, skim, asked),
        Adds::LimitFromZero => limit(0, 0, field, skim, asked),
        Adds::Choices => {
            let raw = skim.raw()?;
            match number(raw) {
                Some(choices) => asked.output.choices = asked.output.choices.max(choices),
                None if wishes(raw) => asked.loops(field),
                None => {}
            }
            Some(())
        }
        Adds::Predicted => {
            asked.output.predicted += skim.raw()?.len() as u64;
            Some(())
        }
        Adds::Config(table) => {
            let from = skim.place();
            let len = skim.text_of(|skim| each(table, skim, asked))?.len();
            if asked.output.config.replace(from..from + len).is_some() {
                asked.loops(field);
            }
            Some(())
        }
        Adds::By(read) => read(skim, asked),
    }
}

/// Passes an object, or objects in lists, field by field.
pub fn each(table: Table, skim: &mut Skim<'_>, asked: &mut Asked) -> Option<()> {
    match skim.first() {
        b'{' => skim.object(|name, skim| pass(table(&name), &name, skim, asked)),
        b'[' => skim.array(|skim| each(table, skim, asked)),
        _ => skim.text(),
    }
}

/// To most servers 0 and -1 are no limit; and what is no number is none that can be relied on.
fn limit(name: usize, least: u64, field: &[u8], skim: &mut Skim<'_>, asked: &mut Asked) -> Option<()> {
    let from = skim.place();
    let raw = skim.raw()?;
    let said = &mut asked.output;
    let limit = number(raw).filter(|limit| *limit >= least);
    said.most = said.most.max(limit);
    if limit.is_none() {
        *said.holes.get_mut(name)? = Some(from..from + raw.len());
    }
    // Of two, one server takes the first and another the last.
    if std::mem::replace(said.seen.get_mut(name)?, true) {
        asked.loops(field);
    }
    Some(())
}

/// A number of things, rounded up.
fn number(raw: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(raw).ok()?;
    let whole = || text.parse::<f64>().ok().filter(|number| (0.0..9e15).contains(number));
    text.parse().ok().or_else(|| whole().map(|number| number.ceil() as u64))
}

/// Whether a value says anything: many clients send all their fields.
pub fn wishes(raw: &[u8]) -> bool {
    !matches!(raw, b"null" | b"false" | b"\"\"" | b"[]")
}
