//! What is counted of TLS towards callers: handshakes that came to nothing, and the certificate that is served by.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// Why a handshake came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeFailure {
    /// The client took too long.
    Timeout,
    /// It went away, as one that only looks whether the port is open.
    Closed,
    /// It spoke HTTP without TLS.
    Plaintext,
    /// It spoke TLS otherwise than this proxy does, or did not trust it.
    Protocol,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

/// Handles to what is counted.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    failed: Family<Reason, Counter>,
    refused: Counter,
    not_before: Gauge,
    not_after: Gauge,
}

impl Tls {
    pub fn handshake_failed(&self, failure: HandshakeFailure) {
        let reason = match failure {
            HandshakeFailure::Timeout => "timeout",
            HandshakeFailure::Closed => "closed",
            HandshakeFailure::Plaintext => "plaintext",
            HandshakeFailure::Protocol => "protocol",
        };
        self.failed.get_or_create(&Reason { reason }).inc();
    }

    /// Counts a certificate or key that could not be used.
    pub fn pair_refused(&self) {
        self.refused.inc();
    }

    /// When the certificate in force begins and ends, in seconds since 1970.
    pub fn serving(&self, (not_before, not_after): (i64, i64)) {
        self.not_before.set(not_before);
        self.not_after.set(not_after);
    }

    /// A proxy without TLS shows none of it: an end in 1970 would look like one.
    pub fn register(&self, registry: &mut Registry) {
        if self.not_after.get() == 0 {
            return;
        }
        registry.register(
            "llm_gateway_tls_handshake_failures",
            "TLS handshakes of callers that came to nothing, by reason",
            self.failed.clone(),
        );
        registry.register(
            "llm_gateway_tls_certificate_refused",
            "New certificates to serve by that could not be used, the last good one kept",
            self.refused.clone(),
        );
        registry.register(
            "llm_gateway_tls_certificate_not_before_seconds",
            "When the certificate that callers are served by begins, in seconds since 1970",
            self.not_before.clone(),
        );
        registry.register(
            "llm_gateway_tls_certificate_not_after_seconds",
            "When the certificate that callers are served by ends, in seconds since 1970",
            self.not_after.clone(),
        );
    }
}
