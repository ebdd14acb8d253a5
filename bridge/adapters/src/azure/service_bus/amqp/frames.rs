//! The frames of a connection, on their way from the service to the library.
//!
//! `fe2o3-amqp` decodes whatever comes. What the service writes is checked before ([`super::encoding`]); what a sender wrote, the
//! payload of a transfer, is wrapped as a section of data, so that the library hands it over as it came. [`message`](crate::azure::service_bus::message)
//! reads it. A payload that is spread over several frames becomes as many sections, which make up the same bytes.

use fe2o3_amqp::types::performatives::Disposition;
use serde_amqp::from_slice;

use super::encoding::{Item, Malformed, check, checked, described};

/// Bytes of a frame that the service sends. Its library takes the smaller of both sides' limits, and its own is 64 KiB
/// (Azure/azure-amqp, `AmqpConnection.Negotiate` and `AmqpConstants`, read 2026-11).
pub(crate) const FRAME_BYTES_MAX: u32 = 64 * 1024;

/// What the library must take beyond that.
pub(crate) const WRAPPING_BYTES: u32 = 8;

/// The header of a frame: size, offset of the body in words, type, channel. AMQP 1.0, part 2, section 2.3.
const HEADER_BYTES: usize = 8;
const AMQP_FRAME: u8 = 0;
const SASL_FRAME: u8 = 1;

/// Descriptors of performatives. AMQP 1.0, part 2, section 2.7.
const TRANSFER: (u64, &str) = (0x14, "amqp:transfer:list");
const DISPOSITION: (u64, &str) = (0x15, "amqp:disposition:list");

/// The beginning of a section of data, before its length. AMQP 1.0, part 3, section 3.2.6.
const DATA: [u8; 4] = [0x00, 0x53, 0x75, 0xb0];

/// Why a connection cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadFrame {
    #[error("a frame of {size} bytes whose body begins at {body}; at most {FRAME_BYTES_MAX} are taken")]
    Size { size: usize, body: usize },
    #[error("a frame of the type {0}")]
    Kind(u8),
    #[error("a frame with bytes behind its performative")]
    Behind,
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// Follows the boundaries of frames; holds at most one.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    held: Vec<u8>,
}

impl Frames {
    /// Takes in the next bytes of the stream, and puts out what the library may see; tells each disposition.
    pub(crate) fn feed(
        &mut self,
        mut bytes: &[u8],
        out: &mut Vec<u8>,
        mut found: impl FnMut(Disposition),
    ) -> Result<(), BadFrame> {
        loop {
            let wanted = self.wanted()?;
            if self.held.len() >= wanted {
                self.pass(out, &mut found)?;
                self.held.clear();
                continue;
            }
            if bytes.is_empty() {
                return Ok(());
            }
            let (more, rest) = bytes.split_at(bytes.len().min(wanted - self.held.len()));
            self.held.extend_from_slice(more);
            bytes = rest;
        }
    }

    /// Bytes of the frame that is held, as far as that is known.
    fn wanted(&self) -> Result<usize, BadFrame> {
        // The header of a protocol is as long as that of a frame.
        let Some(header) = self.held.first_chunk::<HEADER_BYTES>() else { return Ok(HEADER_BYTES) };
        if header.starts_with(b"AMQP") {
            return Ok(HEADER_BYTES);
        }
        let size = u32::from_be_bytes([header[0], header[1], header[2], header[3]]);
        let (body, whole) = (usize::from(header[4]) * 4, size as usize);
        if size > FRAME_BYTES_MAX || !(HEADER_BYTES..=whole).contains(&body) {
            return Err(BadFrame::Size { size: whole, body });
        }
        Ok(whole)
    }

    fn pass(&self, out: &mut Vec<u8>, found: &mut impl FnMut(Disposition)) -> Result<(), BadFrame> {
        let frame = &self.held[..];
        if frame.starts_with(b"AMQP") {
            out.extend_from_slice(frame);
            return Ok(());
        }
        let (head, body) = frame.split_at(usize::from(frame[4]) * 4);
        match frame[5] {
            SASL_FRAME => check(body)?,
            AMQP_FRAME if body.is_empty() => {}
            AMQP_FRAME => {
                let (performative, payload) = body.split_at(checked(body)?);
                let is = |(code, name): (u64, &str)| {
                    described(performative)
                        .is_some_and(|(found, _)| found == Item::Unsigned(code) || found == Item::Symbol(name))
                };
                if is(TRANSFER) {
                    wrap(head, performative, payload, out);
                    return Ok(());
                }
                if !payload.is_empty() {
                    return Err(BadFrame::Behind);
                }
                if is(DISPOSITION)
                    && let Ok(disposition) = from_slice(performative)
                {
                    found(disposition);
                }
            }
            kind => return Err(BadFrame::Kind(kind)),
        }
        out.extend_from_slice(frame);
        Ok(())
    }
}

/// Puts out a transfer whose payload is a section of data.
fn wrap(head: &[u8], performative: &[u8], payload: &[u8], out: &mut Vec<u8>) {
    let length = |bytes: usize| u32::try_from(bytes).expect("a frame has 64 KiB at most").to_be_bytes();
    let wrapping = DATA.len() + 4;
    out.extend_from_slice(&length(head.len() + performative.len() + wrapping + payload.len()));
    out.extend_from_slice(&head[4..]);
    out.extend_from_slice(performative);
    out.extend_from_slice(&DATA);
    out.extend_from_slice(&length(payload.len()));
    out.extend_from_slice(payload);
}

#[cfg(test)]
pub(crate) mod tests {
    use fe2o3_amqp::types::{
        definitions::{Handle, Role},
        messaging::{Accepted, Batch, Data, DeliveryState, Message, message::__private::Deserializable},
        performatives::Transfer,
    };

    use super::*;

    fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut frame = u32::try_from(HEADER_BYTES + body.len()).unwrap().to_be_bytes().to_vec();
        frame.extend([2, kind, 0, 0]);
        frame.extend(body);
        frame
    }

    /// The frame that settles two deliveries, from this one on.
    pub(in crate::azure::service_bus) fn disposition(first: u32) -> Vec<u8> {
        let disposition = Disposition {
            role: Role::Sender,
            first,
            last: Some(first + 1),
            settled: true,
            state: Some(DeliveryState::Accepted(Accepted {})),
            batchable: false,
        };
        frame(AMQP_FRAME, &serde_amqp::to_vec(&disposition).unwrap())
    }

    fn transfer(payload: &[u8]) -> Vec<u8> {
        let transfer = Transfer {
            handle: Handle(0),
            delivery_id: Some(1),
            delivery_tag: Some(vec![7; 16].into()),
            message_format: Some(0),
            settled: Some(false),
            more: false,
            rcv_settle_mode: None,
            state: None,
            resume: false,
            aborted: false,
            batchable: false,
        };
        frame(AMQP_FRAME, &[serde_amqp::to_vec(&transfer).unwrap(), payload.to_vec()].concat())
    }

    /// What comes of a stream that is cut in pieces: what the library sees, the dispositions, and how it ended.
    fn fed(stream: &[u8], pieces: usize) -> (Vec<u8>, Vec<u32>, Result<(), BadFrame>) {
        let (mut frames, mut out, mut found) = (Frames::default(), Vec::new(), Vec::new());
        let mut feed = |piece| frames.feed(piece, &mut out, |disposition| found.push(disposition.first));
        let ended = stream.chunks(pieces).try_for_each(&mut feed);
        assert!(frames.held.len() <= FRAME_BYTES_MAX as usize);
        (out, found, ended)
    }

    #[test]
    fn a_stream_is_followed_however_it_is_cut_in_pieces() {
        let sasl = frame(SASL_FRAME, &[0x00, 0x53, 0x15, 0xc0, 2, 1, 0x40]); // Of SASL, so no disposition.
        let flow = frame(AMQP_FRAME, &[0x00, 0x53, 0x13, 0xc0, 1, 0]);
        let before = [&b"AMQP\x03\x01\x00\x00"[..], &sasl, b"AMQP\x00\x01\x00\x00", &frame(AMQP_FRAME, &[])].concat();
        let behind = [flow, disposition(1), disposition(7)].concat();
        let payload = vec![b'x'; 60_000];
        let stream = [&before[..], &transfer(&payload), &behind].concat();
        let whole = fed(&stream, stream.len());
        assert_eq!((&whole.1[..], &whole.2), (&[1, 7][..], &Ok(())));
        assert!(whole.0.starts_with(&before) && whole.0.ends_with(&behind));
        let wrapped = [&DATA[..], &60_000_u32.to_be_bytes(), &payload].concat();
        assert_eq!(whole.0.len(), stream.len() + WRAPPING_BYTES as usize);
        assert!(whole.0[..whole.0.len() - behind.len()].ends_with(&wrapped));
        for length in [1, 2, 3, 7, 8, 9, 11, 64] {
            assert_eq!(fed(&stream, length), whole, "in pieces of {length}");
        }
    }

    /// The library decodes what a sender wrote as data alone, whatever it is.
    #[test]
    fn a_payload_is_handed_over_as_it_came() {
        let levels = [0x00, 0x44].repeat(32 * 1024 - 100);
        let payloads: [&[u8]; 4] = [b"", b"x", &levels, &[0x00, 0x53, 0x77, 0xa1, 1, b'x']];
        for payload in payloads {
            let (out, _, ended) = fed(&transfer(payload), 1024);
            assert_eq!(ended, Ok(()));
            let size = u32::from_be_bytes(out[..4].try_into().unwrap()) as usize;
            assert_eq!(size, out.len());
            let body = &out[HEADER_BYTES..];
            let section = &body[checked(body).unwrap()..];
            let message: Deserializable<Message<Batch<Data>>> = serde_amqp::from_slice(section).unwrap();
            let parts: Vec<u8> = message.0.body.into_iter().flat_map(|Data(bytes)| bytes.into_vec()).collect();
            assert_eq!(parts, payload);
        }
    }

    #[test]
    fn what_the_library_must_not_see_ends_the_stream() {
        let deep = [&[0x00, 0x53, 0x10][..], &[0x00, 0x53, 0x00].repeat(100), &[0x40]].concat();
        let attach = |more: &[u8]| frame(AMQP_FRAME, &[&[0x00, 0x53, 0x12, 0x45][..], more].concat());
        let huge = [&u32::MAX.to_be_bytes()[..], &[2, 0, 0, 0]].concat();
        for (bad, why) in [
            (frame(AMQP_FRAME, &deep), BadFrame::Malformed(Malformed::TooDeep)),
            (frame(SASL_FRAME, &deep), BadFrame::Malformed(Malformed::TooDeep)),
            (frame(AMQP_FRAME, &[0x00, 0x53, 0x15, 0xd0, 255]), BadFrame::Malformed(Malformed::Short)),
            (attach(&[0x40]), BadFrame::Behind),
            (frame(2, &[]), BadFrame::Kind(2)),
            (huge, BadFrame::Size { size: u32::MAX as usize, body: 8 }),
            (vec![0, 0, 0, 7, 2, 0, 0, 0], BadFrame::Size { size: 7, body: 8 }),
            (vec![0, 0, 0, 8, 1, 0, 0, 0], BadFrame::Size { size: 8, body: 4 }),
            (vec![0, 0, 0, 8, 3, 0, 0, 0], BadFrame::Size { size: 8, body: 12 }),
        ] {
            let stream = [&attach(&[])[..], &bad].concat();
            let (out, _, ended) = fed(&stream, 5);
            assert_eq!((out, ended), (attach(&[]), Err(why)), "{bad:02x?}");
        }
    }

    #[test]
    fn nonsense_is_neither_believed_nor_held() {
        let mut rng = fastrand::Rng::with_seed(7);
        for _ in 0..20_000 {
            let mut stream: Vec<u8> = (0..rng.usize(..40)).map(|_| rng.u8(..)).collect();
            if rng.bool() {
                stream.splice(..0, [0, 0, 0, rng.u8(..40), rng.u8(..5), 0, 0, 0, 0, 0x53, rng.u8(0x10..0x19)]);
            }
            fed(&stream, 1 + rng.usize(..8)).2.ok();
        }
    }
}
