//! What leaves nothing to chance.

use bridge_simulation::matrix::{Case, disturb};

#[test]
fn stopped_at_every_await_and_with_every_call_made_twice_it_ends_the_same() {
    for case in Case::ALL {
        let tried = disturb(case).unwrap_or_else(|what| panic!("{what}"));
        println!("{case:?}: killed at {} awaits, {} calls made twice", tried.kills, tried.repeats);
        assert!(tried.kills > 15 && tried.repeats > 3, "{case:?}: {tried:?} is too little to prove anything");
    }
}
