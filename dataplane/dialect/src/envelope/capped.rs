//! A body with a limit of output where its caller named none.
//!
//! A body may name it and say nothing: with `null`, or with the `-1` and `0` that lift it. Such a value
//! is replaced in its place. All other bytes stay.

use bytes::Bytes;

use super::{Edits, Envelope, LimitPlace, behind_brace};
use crate::openai;

impl Envelope {
    /// The edits that name a limit of `tokens`.
    pub(super) fn cap(&self, place: LimitPlace, body: &Bytes, model: &str, tokens: u64, edits: &mut Edits) {
        let said = &self.asked.output;
        if said.most.is_some() {
            return;
        }
        // Of the two names of Chat Completions, OpenAI's models want the newer one, and those that
        // reason refuse the older; compatible servers all know the older, and some pass over the newer.
        let newer = place.names.len() > 1 && openai::is_openais(model);
        let own = usize::from(newer);
        let Some(name) = place.names.get(own) else { return };
        for (hole, at) in said.holes.iter().enumerate().filter_map(|(i, at)| Some((i, at.clone()?))) {
            if hole == own {
                edits.push((at, tokens.to_string().into()));
            } else if body.get(at.clone()) != Some(b"null") {
                edits.push((at, "null".into()));
            }
        }
        if said.holes.get(own).is_some_and(Option::is_some) {
            return;
        }
        match (place.within, &said.config) {
            (None, _) => edits.push((behind_brace(body), format!("\"{name}\":{tokens},").into())),
            (Some(within), None) => {
                let config = format!("\"{within}\":{{\"{name}\":{tokens}}},");
                edits.push((behind_brace(body), config.into()));
            }
            (Some(_), Some(config)) => match body.get(config.clone()) {
                Some(object @ [b'{', fields @ ..]) => {
                    let comma = if fields.trim_ascii_start().starts_with(b"}") { "" } else { "," };
                    let behind = config.start + behind_brace(object).start;
                    edits.push((behind..behind, format!("\"{name}\":{tokens}{comma}").into()));
                }
                _ => edits.push((config.clone(), format!("{{\"{name}\":{tokens}}}").into())),
            },
        }
    }
}
