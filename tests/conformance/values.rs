//! The contract of [`Store`](bridge_core::port::Store): what was written comes back, whatever its key and its payload.

use bridge_core::{
    event::{Event, Payload},
    failure::FailureKind,
    limits,
    port::Write,
    record::Record,
};
use bridge_tests::{at, changed, payload};
use serde_json::json;

use crate::{
    record,
    store::{STORED_FIRST, StoreUnderTest},
};

impl StoreUnderTest {
    /// Bytes of a text that is all there is in the payload of `event`, such that the backend just takes the record, and
    /// such that it is just too large.
    fn text_bytes(&self, event: &Event) -> (usize, usize) {
        let empty = changed(event, |change| change.payload = text_of(0));
        let room = self.limit_bytes - (self.count)(&record(&empty));
        let bytes = |room| usize::try_from(room).expect("no backend takes more than memory holds");
        (bytes(room - self.slack_bytes), bytes(room + self.slack_bytes + 1))
    }

    /// Writes an upsert with this payload, and reads it back.
    async fn assert_round_trip(&self, key: &str, payload: Payload) {
        let event = changed(&self.event(key, 1), |change| change.payload = payload);
        assert_eq!(self.put(&event).await, STORED_FIRST);
        self.assert_holds(&event).await;
    }
}

pub(crate) async fn odd_keys_are_kept_apart(on: &StoreUnderTest) {
    let keys = [
        "a",
        "A",
        "a/b",
        "a\\b",
        "a?b",
        "a#b",
        "a~b",
        "a~2Fb",
        "a%b",
        "a%2Fb",
        "a%25",
        "%41",
        "a+b",
        "a b",
        "a ",
        " a",
        "a  ",
        "a&b=c",
        "a;b",
        "a:b",
        "a@b",
        "a,b",
        "a|b",
        "a\"b",
        "a'b",
        "a`b",
        "<a>",
        "{a}",
        "[a]",
        "a^b",
        "a$b",
        "a*b",
        "a(b)",
        "a\tb",
        "a\nb",
        "a\u{0}b",
        "a\u{7f}b",
        "ä",
        "a\u{308}",
        "日本語",
        "🦀",
        "\u{FFFD}",
        "a\u{a0}",
        "a\u{2028}",
        "%",
        "%%",
        "~",
        "../a",
        "./a",
        "a/..",
        "a/.",
        "…",
        "null",
        "true",
        "0",
        "00",
        "1e3",
        "undefined",
    ];
    let event = |key: &&str| changed(&on.event(key, 1), |change| change.payload = payload(json!({"id": key})));
    for key in &keys {
        assert_eq!(on.put(&event(key)).await, STORED_FIRST, "{key:?}");
    }
    for key in &keys {
        on.assert_holds(&event(key)).await;
    }
    // These cannot stand behind a prefix, and so have no test of their own: whatever was there yields.
    for (n, key) in [".", "..", "...", "/", "//", " ", "\u{3000}", "?", "#"].into_iter().enumerate() {
        let second = seconds_since_1970() + i64::try_from(n).unwrap();
        let event =
            changed(&bridge_tests::event(key, at(second)), |change| change.payload = payload(json!({"id": key})));
        assert!(matches!(on.put(&event).await, Write::Applied { .. }), "{key:?}");
        on.assert_holds(&event).await;
    }
}

/// Seconds from the tests' midnight to now: greater at every run.
fn seconds_since_1970() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    i64::try_from(now.as_secs()).expect("before the end of time")
}

pub(crate) async fn the_longest_key_passes(on: &StoreUnderTest) {
    let fill = |unit: &str, bytes: usize| unit.repeat((limits::KEY_BYTES_MAX - on.prefix.len()) / bytes);
    for key in [fill("k", 1), fill("日", 3), fill("/", 3)] {
        let event = on.event(&key, 1);
        assert!(event.key.escaped().len() > limits::KEY_BYTES_MAX - 3);
        assert_eq!(on.put(&event).await, STORED_FIRST);
        on.assert_holds(&event).await;
    }
}

pub(crate) async fn payload_members_named_like_attributes_do_no_harm(on: &StoreUnderTest) {
    let names = [
        "ttl",
        "id",
        "pk",
        "version",
        "deleted",
        "expires_at",
        "_etag",
        "_ts",
        "_rid",
        "_self",
        "_attachments",
        "_lsn",
        "payload",
        "event_id",
        "source_region",
        "timestamp",
        "op_type",
        "applied_at",
        "applied_by",
        ":v",
        "#v",
        "$type",
        "__proto__",
    ];
    for value in [json!(1), json!("x"), json!(null), json!({"ttl": 1, "id": {"pk": []}})] {
        let members = names.iter().map(|name| ((*name).to_owned(), value.clone())).collect();
        on.assert_round_trip(&format!("{value}"), payload(members)).await;
    }
}

pub(crate) async fn numbers_come_back_equal(on: &StoreUnderTest) {
    let numbers = json!([
        0,
        1,
        -1,
        0.1,
        -0.1,
        1.5,
        0.3,
        0.300_000_000_000_000_04,
        1e21,
        1e22,
        1.0e-7,
        123_456_789_012_345_680.0,
        9_007_199_254_740_991_i64,
        -9_007_199_254_740_991_i64,
        1e-130,
        -1e-130,
        1.7976e125,
        -1e125,
        9.999_999_999_999e125,
        5e-100,
        2.225e-100,
        1.234_567_890_123_456_7e-120,
        4_294_967_296_i64,
        255,
        -2_147_483_649_i64
    ]);
    for number in numbers.as_array().expect("written as one") {
        on.assert_round_trip(&format!("number {number}"), payload(json!({ "number": number }))).await;
    }
    on.assert_round_trip("numbers", payload(json!({ "array": numbers }))).await;
    // Spelled differently, but the same value: it comes back in the one spelling that all stores share.
    let spelled = payload(json!({"zero": -0.0, "one": 1.0, "large": 1_152_921_504_606_846_976_u64}));
    let event = on.event("spelling", 1);
    let record = Record { payload: Some(spelled), ..record(&event) };
    on.store.put_if_newer(&record).await.unwrap();
    let held = on.get(&event).await.unwrap().payload.unwrap();
    assert_eq!(held.as_str(), r#"{"large":1152921504606847000,"one":1,"zero":0}"#);
}

pub(crate) async fn texts_come_back_equal(on: &StoreUnderTest) {
    let every_plane: String = (0..=0x10).filter_map(|plane| char::from_u32(plane << 16 | 0x1234)).collect();
    let controls: String = (0..0x20).filter_map(char::from_u32).collect();
    let texts = [
        &*every_plane,
        &*controls,
        "\"\\/\u{8}\u{c}\n\r\t",
        "\u{7f}\u{80}\u{85}",
        "\u{2028}\u{2029}",
        "\u{FEFF}bom",
        "\u{FFFD}\u{FFFE}\u{FFFF}",
        "\u{D7FF}\u{E000}",
        "ä a\u{308}",
        "עברית العربية",
        "👩‍👩‍👧‍👦",
        "  blanks  ",
        "1",
        "null",
        "2026-11-21T00:00:00Z",
        "<![CDATA[&]]>",
        "\\u0041",
    ];
    let members = texts.iter().map(|text| ((*text).to_owned(), json!(text))).collect();
    on.assert_round_trip("texts", payload(members)).await;
}

pub(crate) async fn empty_things_come_back_equal(on: &StoreUnderTest) {
    on.assert_round_trip("payload", payload(json!({}))).await;
    let empties = json!({"string": "", "array": [], "object": {}, "null": null, "false": false, "zero": 0, "nested": [[], {}, "", null, [[]]]});
    on.assert_round_trip("members", payload(empties)).await;
}

pub(crate) async fn nesting_to_the_limit_comes_back_equal(on: &StoreUnderTest) {
    let mut objects = json!("bottom");
    let mut arrays = json!("bottom");
    for _ in 1..limits::PAYLOAD_LEVELS_MAX {
        objects = json!({ "down": objects });
        arrays = json!([arrays]);
    }
    on.assert_round_trip("nested", payload(json!({"objects": objects, "arrays": arrays}))).await;
}

fn text_of(bytes: usize) -> Payload {
    payload(json!({"text": "x".repeat(bytes)}))
}

pub(crate) async fn the_largest_record_passes(on: &StoreUnderTest) {
    let event = on.event("largest", 1);
    let (accepted, _) = on.text_bytes(&event);
    let event = changed(&event, |change| change.payload = text_of(accepted));
    assert_eq!(on.put(&event).await, STORED_FIRST);
    let held = on.get(&event).await.unwrap();
    assert!(held.payload.as_ref() == Some(&event.payload), "payloads differ");
}

pub(crate) async fn too_large_is_told_with_both_figures(on: &StoreUnderTest) {
    let before = on.event("large", 1);
    let (accepted, refused) = on.text_bytes(&before);
    on.put(&before).await;
    let large = changed(&on.event("large", 2), |change| change.payload = text_of(refused));
    let error = on.store.put_if_newer(&record(&large)).await.unwrap_err();
    match error.kind {
        FailureKind::TooLarge { size_bytes, limit_bytes } => {
            assert!(size_bytes > refused as u64, "{size_bytes} is less than the text alone");
            assert!(limit_bytes < size_bytes && limit_bytes > accepted as u64, "{size_bytes} over {limit_bytes}");
        }
        _ => panic!("{}", error.chain()),
    }
    on.assert_holds(&before).await;
}
