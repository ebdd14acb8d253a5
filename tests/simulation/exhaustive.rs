//! What leaves nothing to chance.

use bridge_simulation::{
    matrix::{Case, disturb},
    model::{explore, stories},
};

#[test]
fn stopped_at_every_await_and_with_every_call_made_twice_it_ends_the_same() {
    for case in Case::ALL {
        let tried = disturb(case).unwrap_or_else(|what| panic!("{what}"));
        println!("{case:?}: killed at {} awaits, {} calls made twice", tried.kills, tried.repeats);
        assert!(tried.kills > 15 && tried.repeats > 3, "{case:?}: {tried:?} is too little to prove anything");
    }
}

#[test]
fn every_order_of_three_events_at_two_and_three_sites_ends_in_one_state() {
    for story in stories() {
        let explored = explore(&story).unwrap_or_else(|what| panic!("{story:?}: {what}"));
        println!("{story:?}: {explored}");
        assert!(explored.states > 100 && explored.rests > 0, "{explored}: too little to prove anything");
    }
}
