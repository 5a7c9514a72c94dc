//! What of a body is for the gateway: the object `routing`, and of `metadata` who calls and what for.
//! It is taken out; all other values stay as they are.

use bytes::Bytes;
use serde_json::value::RawValue;

use super::Envelope;
use crate::{Invalid, json::Fields};

/// The texts of `metadata` that are for the gateway.
const LABELS: [&str; 3] = ["user", "project", "feature"];

/// What was taken out of a body.
#[derive(Debug)]
pub struct TakenOut {
    /// The body without it.
    pub body: Bytes,
    /// The value of `routing`.
    pub routing: Option<Box<RawValue>>,
    /// `user`, `project` and `feature` of `metadata`.
    pub labels: [(&'static str, Option<String>); 3],
}

impl Envelope {
    /// Takes out of the body that this was read from what is for the gateway; `None` where there is
    /// nothing of it.
    ///
    /// # Errors
    /// When the body has a field twice: it could be read in two ways.
    pub fn take_out(&self, body: &Bytes) -> Result<Option<TakenOut>, Invalid> {
        if !self.may_hold_wishes {
            return Ok(None);
        }
        let twice = |_| Invalid::field("routing", "the body must have no field twice");
        let Fields(fields) = serde_json::from_slice(body).map_err(twice)?;
        let mut taken =
            TakenOut { body: Bytes::new(), routing: None, labels: LABELS.map(|name| (name, None)) };
        let mut kept = Vec::with_capacity(fields.len());
        let mut changed = false;
        for (name, value) in &fields {
            match name.as_ref() {
                "routing" => {
                    taken.routing = Some((*value).to_owned());
                    changed = true;
                }
                "metadata" => match without_labels(value, &mut taken.labels) {
                    Some(rest) => {
                        changed = true;
                        kept.extend((rest != "{}").then(|| written(name, &rest)));
                    }
                    None => kept.push(written(name, value.get())),
                },
                _ => kept.push(written(name, value.get())),
            }
        }
        if !changed {
            return Ok(None);
        }
        taken.body = object(&kept).into();
        Ok(Some(taken))
    }
}

/// `metadata` without the labels; `None` where it has none. What is no text is the vendor's own.
fn without_labels(metadata: &RawValue, labels: &mut [(&'static str, Option<String>)]) -> Option<String> {
    let Fields(fields) = serde_json::from_str(metadata.get()).ok()?;
    let mut kept = Vec::with_capacity(fields.len());
    for (name, value) in &fields {
        let label = labels.iter_mut().find(|(label, _)| label == name);
        match (label, serde_json::from_str::<String>(value.get())) {
            (Some((_, place)), Ok(text)) => *place = Some(text),
            _ => kept.push(written(name, value.get())),
        }
    }
    (kept.len() < fields.len()).then(|| object(&kept))
}

fn written(name: &str, value: &str) -> String {
    format!("{}:{value}", serde_json::Value::from(name))
}

fn object(fields: &[String]) -> String {
    format!("{{{}}}", fields.join(","))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;
    use crate::surface::Api;

    fn taken(body: &str) -> Result<Option<TakenOut>, Invalid> {
        let body = Bytes::from(body.to_owned());
        Envelope::read(Api::ChatCompletions.shape(), &body).unwrap().take_out(&body)
    }

    #[test]
    fn what_is_for_the_gateway_goes_and_the_rest_stays_to_the_letter() {
        let found = taken(
            r#"{"routing": {"strategy":"Ordered"}, "model":"m" ,"messages":[{"content":"routing"}], "x":1e300, "metadata":{"user":"u\n","own":"kept","project":"p"}}"#,
        )
        .unwrap()
        .unwrap();
        assert_eq!(
            found.body,
            r#"{"model":"m","messages":[{"content":"routing"}],"x":1e300,"metadata":{"own":"kept"}}"#
        );
        assert_eq!(found.routing.unwrap().get(), r#"{"strategy":"Ordered"}"#);
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(found.labels, [("user", text("u\n")), ("project", text("p")), ("feature", None)]);
    }

    #[test]
    fn metadata_of_labels_alone_goes_whole_and_that_of_a_vendor_stays() {
        let of = |metadata: &str| {
            let body = format!(r#"{{"model":"m","messages":[1],"metadata":{metadata}}}"#);
            taken(&body).unwrap().map(|taken| String::from_utf8(taken.body.into()).unwrap())
        };
        assert_eq!(of(r#"{"feature":"f"}"#).unwrap(), r#"{"model":"m","messages":[1]}"#);
        for own in [r#"{"user_id":"u"}"#, r#"{"user":7}"#, "{}", "null", "[1]", r#"{"user":"a","user":"b"}"#]
        {
            assert_eq!(of(own), None, "{own}");
        }
    }

    #[test]
    fn a_body_that_can_be_read_in_two_ways_is_refused() {
        let twice = taken(r#"{"routing":{},"model":"m","messages":[1],"seed":1,"seed":2}"#).unwrap_err();
        assert_eq!(twice.param(), Some("routing"));
    }
}
