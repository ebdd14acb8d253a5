//! A private parser for `tests/fuzz`, which has no other way to it without a socket. Nothing else may use this.

use crate::{admin, fault::Fault};

/// The faults in the body of a request to the admin endpoint.
///
/// # Errors
/// In words, what is no fault.
pub fn faults(text: &str) -> Result<Vec<Fault>, String> {
    admin::parse_faults(text)
}
