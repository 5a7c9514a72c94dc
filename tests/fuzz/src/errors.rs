//! Bodies of errors: whatever they are, every dialect can tell of them. The first two bytes are the
//! status.

use llm_dialect::{
    Dialect,
    surface::{Api, CallerSide},
};

use crate::{CALLERS, assert_object};

/// An error of a provider.
pub fn errors(from: Dialect, data: &[u8]) {
    let Some((status, body)) = data.split_first_chunk::<2>() else { return };
    let status = 400 + u16::from_le_bytes(*status) % 200;
    let _ = from.is_error_body(body);
    let fault = from.read_error(status, body);
    assert_eq!(fault.status, status);
    let common = fault.common_status();
    assert!((400..600).contains(&common), "no status of an error: {common}");
    for to in Dialect::ALL {
        let written = to.error_body(&fault);
        assert_object("an error", &written);
        assert!(to.is_error_body(&written), "{to:?}: {}", String::from_utf8_lossy(&written));
    }
    for api in CALLERS.into_iter().filter(|api| *api != Api::StreamGenerateArray) {
        let CallerSide::Chat(caller) = api.caller() else { continue };
        let event = caller.error_event(&fault);
        assert!(event.ends_with(b"\n"), "a whole frame");
    }
}
