//! Faults, as the admin endpoint takes them: lines of the short notation, or JSON.

use localcloud::{fault::Fault, fuzzing::faults};

use crate::text;

/// What is read is written and read the same, in both notations.
pub(crate) fn run(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let Ok(faults) = faults(text) else { return };
    for fault in faults {
        assert_eq!(fault.to_string().parse::<Fault>().as_ref(), Ok(&fault));
        let json = serde_json::to_string(&fault).unwrap();
        assert_eq!(serde_json::from_str::<Fault>(&json).unwrap(), fault);
    }
}
