//! Messages taken apart, changed and put together again.

use super::*;

const STAMP: Stamp<'_> = Stamp {
    sequence: 7,
    enqueued_sequence: 7,
    enqueued: 1_000,
    delivery_count: 2,
    state: 0,
    lock: None,
    dead_letter_source: None,
};

fn section(code: u8, value: &[u8]) -> Vec<u8> {
    let mut out = BytesMut::new();
    encoding::put_descriptor(&mut out, code);
    out.put_slice(value);
    out.to_vec()
}

fn map(pairs: &[(&str, &[u8])]) -> Vec<u8> {
    let mut content = BytesMut::new();
    for (key, value) in pairs {
        encoding::put_text(&mut content, key);
        content.put_slice(value);
    }
    encoding::encoded(|out| encoding::put_map(out, pairs.len() * 2, &content)).to_vec()
}

fn data(body: &[u8]) -> Vec<u8> {
    section(DATA, &encoding::encoded(|out| encoding::put_binary(out, body)))
}

fn whole(message: &Message) -> Vec<u8> {
    let (head, bare) = message.encode(&STAMP);
    [head, bare].concat()
}

#[test]
fn the_bare_message_comes_back_byte_for_byte() {
    let bare = [
        section(PROPERTIES, &[0xc0, 3, 1, 0xa1, 0]),
        section(APPLICATION_PROPERTIES, &map(&[("n", &[0x55, 1])])),
        data(&[9; 300]),
    ]
    .concat();
    let sent = [
        section(MESSAGE_ANNOTATIONS, &map(&[("x-opt-mine", &[0x41]), ("x-opt-sequence-number", &[0x55, 99])])),
        bare.clone(),
    ]
    .concat();
    let message = Parsed::new(&sent).unwrap().keep(&mut Store::default());
    let received = whole(&message);
    assert!(received.ends_with(&bare));
    let again = Parsed::new(&received).unwrap();
    assert_eq!(again.annotations.len(), 1, "the service's annotations are its own");
}

#[test]
fn properties_are_replaced_added_and_kept_with_their_types() {
    for application in [section(APPLICATION_PROPERTIES, &map(&[("a", &[0x55, 1]), ("b", &[0x41])])), Vec::new()] {
        let bare = [section(PROPERTIES, &[0x45]), application, data(b"body")].concat();
        let mut message = Parsed::new(&bare).unwrap().keep(&mut Store::default());
        message.set_properties(&vec![("a".into(), encoding::encoded(|out| encoding::put_text(out, "new")))]);
        message.set_properties(&vec![("c".into(), Bytes::from_static(&[0x42]))]);
        let received = whole(&message);
        let parsed = Parsed::new(&received).unwrap();
        assert!(received.ends_with(&data(b"body")));
        let (_, map) = encoding::described(&parsed.bare[parsed.application.clone()]).unwrap();
        let names: Vec<_> = encoding::pairs(map).unwrap().iter().map(|(key, _)| encoding::read(key).unwrap()).collect();
        assert_eq!(names.len(), if bare.len() > 30 { 3 } else { 2 });
        assert!(names.contains(&Item::Text("a")) && names.contains(&Item::Text("c")));
    }
}

#[test]
fn a_body_alone_is_a_message() {
    let mut message = Parsed::new(&data(b"x")).unwrap().keep(&mut Store::default());
    message.set_properties(&vec![("k".into(), Bytes::from_static(&[0x41]))]);
    assert!(whole(&message).ends_with(&data(b"x")));
    assert!(Parsed::new(&whole(&message)).is_ok());
}

#[test]
fn sections_out_of_order_and_mixed_bodies_are_refused() {
    let properties = section(PROPERTIES, &[0x45]);
    let value = section(0x77, &[0x40]);
    for wrong in [
        [data(b"x"), properties.clone()].concat(),
        [properties.clone(), properties].concat(),
        [data(b"x"), value].concat(),
        [data(b"x"), section(DELIVERY_ANNOTATIONS, &map(&[]))].concat(),
        [section(DELIVERY_ANNOTATIONS, &map(&[])), section(DELIVERY_ANNOTATIONS, &map(&[])), data(b"x")].concat(),
    ] {
        assert_eq!(Parsed::new(&wrong).unwrap_err(), MessageError::SectionOrder);
    }
    assert!(Parsed::new(&[data(b"x"), data(b"y")].concat()).is_ok());
}

#[test]
fn annotations_stand_at_the_head_in_any_order() {
    let header = section(HEADER, &[0x45]);
    let delivery = section(DELIVERY_ANNOTATIONS, &map(&[("x-opt-mine", &[0x41])]));
    let message = section(MESSAGE_ANNOTATIONS, &map(&[("x-opt-mine", &[0x41])]));
    let bare = [section(PROPERTIES, &[0x45]), data(b"x"), section(FOOTER, &map(&[]))].concat();
    for head in [
        vec![&delivery],
        vec![&header, &delivery, &message],
        vec![&header, &message, &delivery],
        vec![&delivery, &header, &message],
        vec![&message, &delivery, &header],
    ] {
        let sent = [head.into_iter().flatten().copied().collect(), bare.clone()].concat();
        let kept = Parsed::new(&sent).unwrap().keep(&mut Store::default());
        assert!(whole(&kept).ends_with(&bare));
    }
}

#[test]
fn long_ids_and_large_properties_are_refused() {
    let id = |length: usize| {
        let id = encoding::encoded(|out| encoding::put_text(out, &"é".repeat(length)));
        section(PROPERTIES, &encoding::encoded(|out| encoding::put_list(out, 1, &id)))
    };
    assert_eq!(Parsed::new(&id(128)).unwrap().message_id.unwrap().chars().count(), 128);
    assert!(matches!(Parsed::new(&id(129)), Err(MessageError::IdTooLong { length: 129, .. })));
    let large = |length: usize| {
        let value = encoding::encoded(|out| encoding::put_binary(out, &vec![0; length]));
        section(APPLICATION_PROPERTIES, &map(&[("a", &value), ("b", &value)]))
    };
    assert!(Parsed::new(&large(30_000)).is_ok());
    assert!(matches!(Parsed::new(&large(32_765)), Err(MessageError::PropertiesTooLarge { .. })));
}

#[test]
fn a_lifetime_too_long_for_the_header_is_read_from_the_two_times() {
    let mut fields = BytesMut::from(&[0x40; 8][..]);
    encoding::put_timestamp(&mut fields, 10_000_000_000);
    encoding::put_timestamp(&mut fields, 1_000);
    let properties = section(PROPERTIES, &encoding::encoded(|out| encoding::put_list(out, 10, &fields)));
    assert_eq!(Parsed::new(&properties).unwrap().header.time_to_live, Some(9_999_999_000));
}

#[test]
fn segments_are_shared_by_neighbours() {
    let mut store = Store::default();
    let first = Parsed::new(&data(b"1")).unwrap().keep(&mut store);
    let second = Parsed::new(&data(b"2")).unwrap().keep(&mut store);
    assert_eq!(first.bytes.as_ptr() as usize + first.size(), second.bytes.as_ptr() as usize);
}

#[test]
fn damaged_messages_never_panic() {
    let mut random = fastrand::Rng::with_seed(3);
    let good = [
        section(MESSAGE_ANNOTATIONS, &map(&[("k", &[0x41])])),
        section(PROPERTIES, &[0x45]),
        section(APPLICATION_PROPERTIES, &map(&[("n", &[0x55, 1])])),
        data(&[1; 20]),
    ]
    .concat();
    for _ in 0..100_000 {
        let mut bytes = good.clone();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(..bytes.len());
            bytes[at] = random.u8(..);
        }
        if let Ok(parsed) = Parsed::new(&bytes) {
            let mut message = parsed.keep(&mut Store::default());
            message.set_properties(&vec![("k".into(), Bytes::from_static(&[0x41]))]);
            whole(&message);
        }
    }
}
