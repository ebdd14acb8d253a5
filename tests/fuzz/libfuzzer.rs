//! Every target under libFuzzer, in one binary: without `BRIDGE_FUZZ_TARGET` in its environment it starts itself for the
//! targets that are asked for, with it libFuzzer takes over. `docs/fuzzing.md` says how it is built.

#![no_main]

use bridge_fuzz::{run, targets};

libfuzzer_sys::fuzz_target!(
    init: run::begin(),
    |bytes: &[u8]| targets::chosen().run(bytes)
);
