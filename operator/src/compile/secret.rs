//! The text in a Secret that an object refers to, or what to change where it can't be had.

use llm_crds::{Reason, SecretKeyReference};

use crate::observe::{ObjectName, Observed, SecretState};

/// The Secrets of one namespace.
pub struct Secrets<'a> {
    pub namespace: &'a str,
    pub observed: &'a Observed,
}

impl Secrets<'_> {
    /// The value of a key, or why there is none.
    pub fn text(&self, path: &str, reference: &SecretKeyReference) -> Result<String, (Reason, String)> {
        let SecretKeyReference { name, key } = reference;
        let namespace = self.namespace;
        let missing = |problem: String| Err((Reason::SecretNotFound, format!("{path}: {problem}")));
        let data = match self.observed.secrets.get(&ObjectName::new(namespace, name.as_str())) {
            None | Some(SecretState::Absent) => {
                return missing(format!(
                    "there is no Secret `{name}` in namespace `{namespace}`: create it with the key `{key}`, or correct the name"
                ));
            }
            Some(SecretState::Unreadable(why)) => {
                return missing(format!(
                    "the operator can't read Secret `{name}` in namespace `{namespace}`: {why}"
                ));
            }
            Some(SecretState::Present(data)) => data,
        };
        let Some(value) = data.get(key) else {
            let keys = data.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            return missing(format!("Secret `{name}` has no key `{key}`; its keys are: {keys}"));
        };
        // A trailing line end is what `kubectl create secret --from-file` of a key file brings along.
        match std::str::from_utf8(value).map(str::trim_end) {
            Ok(text) if !text.is_empty() => Ok(text.to_owned()),
            Ok(_) => Err((Reason::InvalidSecret, format!("{path}: key `{key}` of Secret `{name}` is empty"))),
            Err(_) => {
                Err((Reason::InvalidSecret, format!("{path}: key `{key}` of Secret `{name}` is no text")))
            }
        }
    }
}
