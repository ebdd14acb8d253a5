//! Scripts that know nothing of our code, with boto3, azure-servicebus and azure-cosmos, against `bridge local`.

use crate::program::Clouds;

#[test]
fn hostile_traffic_in_both_clouds_ends_in_equal_stores() {
    let clouds = Clouds::start(&[]);
    clouds.script("acceptance.py", &["--events", "2000", "--keys", "200"]);
}

#[test]
fn good_examples_are_applied_everywhere() {
    Clouds::start(&[]).script("good_examples.py", &[]);
}

#[test]
fn bad_examples_are_set_aside_with_their_reason_and_their_bytes() {
    Clouds::start(&[]).script("bad_examples.py", &[]);
}
