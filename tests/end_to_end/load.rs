//! What load leaves behind in localcloud: nothing (tests/clients/memory.py, tests/clients/restarts.py).

use crate::program::{bridge, loopback, must, python};

fn passes(script: &str) {
    must(python(script).arg(bridge().get_program()).args(["--address", &loopback()]));
}

#[test]
fn drained_queues_give_their_memory_back() {
    passes("memory.py");
}

#[test]
fn clients_that_are_killed_lose_nothing_and_leave_nothing_behind() {
    passes("restarts.py");
}
