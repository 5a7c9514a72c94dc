//! The certificate that a proxy serves by, as a Secret mounts it: two files, and the authority that has signed it.

use crate::{Authority, Identity, Scratch};
use std::path::PathBuf;

pub struct ServingPair {
    pub authority: Authority,
    scratch: Scratch,
}

impl ServingPair {
    /// One for `localhost`.
    #[expect(clippy::new_without_default, reason = "each is another")]
    pub fn new() -> Self {
        let pair = Self { authority: Authority::new(), scratch: Scratch::new("tls") };
        pair.renew();
        pair
    }

    /// Another, of the same authority.
    pub fn renew(&self) {
        let Identity { certificate, key } = self.authority.server(&["localhost"]);
        self.write(&certificate, &key);
    }

    pub fn write(&self, certificate: &str, key: &str) {
        self.scratch.write("tls.crt", certificate);
        self.scratch.write("tls.key", key);
    }

    /// Where `tls.crt` or `tls.key` is.
    pub fn file(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// What makes a proxy serve by it, with more.
    pub fn arguments(&self, more: &[&str]) -> Vec<String> {
        let file = |name: &str| self.file(name).to_str().unwrap().to_owned();
        let (certificate, key) = (file("tls.crt"), file("tls.key"));
        let own = ["--tls-listen", "127.0.0.1:0", "--tls-certificate", &certificate, "--tls-key", &key];
        own.iter().chain(more).map(ToString::to_string).collect()
    }
}
