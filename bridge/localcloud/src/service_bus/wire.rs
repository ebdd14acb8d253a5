//! AMQP 1.0 on the wire: protocol headers, the SASL prelude, and frames.
//!
//! `fe2o3_amqp_types` supplies the performatives and `serde_amqp` their encoding; the framing around them is written here,
//! because `fe2o3_amqp` keeps its own to itself. Every frame passes [`encoding::check`] before it is decoded.

use std::io::{Error, ErrorKind, Result};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use fe2o3_amqp_types::performatives::{Performative, Transfer};
use fe2o3_amqp_types::sasl::{SaslCode, SaslInit, SaslMechanisms, SaslOutcome};
use serde::{Deserialize, Serialize};
use serde_amqp::de::Deserializer;
use serde_amqp::described::Described;
use serde_amqp::descriptor::Descriptor;
use serde_amqp::primitives::{Array, OrderedMap, Symbol};
use serde_amqp::read::IoReader;
use serde_amqp::{Value, from_slice, to_vec};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::auth::Key;
use super::encoding;

/// The largest frame that is taken, in bytes.
/// Source: AMQP 1.0 in Azure Service Bus protocol guide, read 2026-11: the service's own is 64 KiB.
pub(super) const MAX_FRAME: u32 = 65_536;
/// Every peer must take frames of this size. Source: AMQP 1.0, part 2, 2.4.1.
pub(super) const MIN_MAX_FRAME: u32 = 512;
/// Room asked for before each read.
const READ_BYTES: usize = 8 * 1024;

const AMQP_HEADER: [u8; 8] = *b"AMQP\x00\x01\x00\x00";
const SASL_HEADER: [u8; 8] = *b"AMQP\x03\x01\x00\x00";
const AMQP_FRAME: u8 = 0;
const SASL_FRAME: u8 = 1;
/// How performatives begin that need a second look: a described value with the descriptor 0x12, or 0x15.
const ATTACH: [u8; 3] = [0x00, 0x53, 0x12];
const DISPOSITION: [u8; 3] = [0x00, 0x53, 0x15];
/// The target of a link to a transaction coordinator, and where it stands in an attach.
const COORDINATOR: u64 = 0x30;
const TARGET_FIELD: usize = 6;

/// `performative` is `None` in a heartbeat; `payload` is empty unless the performative is a transfer.
pub(super) struct Frame {
    pub(super) channel: u16,
    pub(super) performative: Option<Performative>,
    pub(super) payload: Bytes,
}

/// How the peer introduced itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Identity {
    /// Needs tokens for whatever it wants to do.
    Anonymous,
    /// Knows the namespace's key.
    KeyHolder,
}

pub(super) fn bad(reason: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::InvalidData, reason.to_string())
}

/// Protocol headers and SASL. Ends with an error, and the proper answer written, for any other protocol.
pub(super) async fn handshake<S>(stream: &mut S, buffer: &mut BytesMut, key: &Key) -> Result<Identity>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut identity = Identity::Anonymous;
    let mut header = read_header(stream, buffer).await?;
    if header == SASL_HEADER {
        identity = sasl(stream, buffer, key).await?;
        header = read_header(stream, buffer).await?;
    }
    // The peer learns from this header which protocol is wanted, also when it asked for another one.
    stream.write_all(&AMQP_HEADER).await?;
    if header == AMQP_HEADER { Ok(identity) } else { Err(bad("not the AMQP protocol header")) }
}

async fn sasl<S>(stream: &mut S, buffer: &mut BytesMut, key: &Key) -> Result<Identity>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mechanisms = ["MSSBCBS", "PLAIN", "ANONYMOUS"].map(Symbol::from).to_vec();
    let offer = SaslMechanisms { sasl_server_mechanisms: Array::from(mechanisms) };
    let mut out = BytesMut::from(&SASL_HEADER[..]);
    put(&mut out, SASL_FRAME, 0, &offer, &[])?;
    stream.write_all(&out).await?;
    let (kind, _, body) = loop {
        if let Some(frame) = take_raw(buffer)? {
            break frame;
        }
        fill(stream, buffer).await?;
    };
    if kind != SASL_FRAME {
        return Err(bad("expected sasl-init"));
    }
    encoding::check(&body).map_err(bad)?;
    let init = from_slice::<SaslInit>(&body).map_err(bad)?;
    let identity = match init.mechanism.as_str() {
        "ANONYMOUS" | "MSSBCBS" => Some(Identity::Anonymous),
        "PLAIN" => init.initial_response.and_then(|response| plain(&response, key)),
        // EXTERNAL would need a client certificate.
        _ => None,
    };
    out.clear();
    let code = if identity.is_some() { SaslCode::Ok } else { SaslCode::Auth };
    put(&mut out, SASL_FRAME, 0, &SaslOutcome { code, additional_data: None }, &[])?;
    stream.write_all(&out).await?;
    identity.ok_or_else(|| Error::new(ErrorKind::PermissionDenied, "refused by SASL"))
}

/// Identity to act as (ignored), name, password, with zero bytes between them. Source: RFC 4616.
fn plain(response: &[u8], key: &Key) -> Option<Identity> {
    let mut parts = response.split(|byte| *byte == 0).skip(1);
    let name = std::str::from_utf8(parts.next()?).ok()?;
    let password = std::str::from_utf8(parts.next()?).ok()?;
    (parts.next().is_none() && key.is(name, password)).then_some(Identity::KeyHolder)
}

/// Reads what is there.
///
/// # Cancel safety
/// Safe: what was read is in `buffer`.
pub(super) async fn fill(stream: &mut (impl AsyncRead + Unpin), buffer: &mut BytesMut) -> Result<()> {
    buffer.reserve(READ_BYTES);
    match stream.read_buf(buffer).await? {
        0 => Err(ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

async fn read_header(stream: &mut (impl AsyncRead + Unpin), buffer: &mut BytesMut) -> Result<[u8; 8]> {
    while buffer.len() < 8 {
        fill(stream, buffer).await?;
    }
    let mut header = [0; 8];
    buffer.copy_to_slice(&mut header);
    Ok(header)
}

/// The next complete frame of `buffer`; an incomplete one stays there until more bytes have been read.
pub(super) fn take_frame(buffer: &mut BytesMut) -> Result<Option<Frame>> {
    let Some((kind, channel, body)) = take_raw(buffer)? else { return Ok(None) };
    if kind != AMQP_FRAME {
        return Err(bad("not an AMQP frame"));
    }
    if body.is_empty() {
        return Ok(Some(Frame { channel, performative: None, payload: body }));
    }
    let mut rest = &body[..];
    let encoded = encoding::split(&mut rest).map_err(bad)?;
    let payload = body.slice_ref(rest);
    let performative = Performative::deserialize(&mut Deserializer::new(IoReader::new(encoded)));
    let performative = match performative {
        Err(_) if encoded.starts_with(&DISPOSITION) || encoded.starts_with(&ATTACH) => decode_leniently(encoded),
        decoded => decoded,
    };
    Ok(Some(Frame { channel, performative: Some(performative.map_err(bad)?), payload }))
}

/// For two things that real clients send and `fe2o3_amqp_types` does not take: the Node client dead-letters with an error whose
/// `info` map has strings for keys, where the standard has symbols; and a transaction coordinator as a link's target,
/// which is taken away here, so that the link can be refused instead of the connection.
fn decode_leniently(encoded: &[u8]) -> std::result::Result<Performative, serde_amqp::Error> {
    let mut value = with_symbols(from_slice(encoded)?);
    if let Value::Described(performative) = &mut value
        && let Value::List(fields) = &mut performative.value
        && let Some(Value::Described(target)) = fields.get(TARGET_FIELD)
        && target.descriptor == Descriptor::Code(COORDINATOR)
    {
        fields[TARGET_FIELD] = Value::Null;
    }
    from_slice(&to_vec(&value)?)
}

fn with_symbols(value: Value) -> Value {
    match value {
        Value::Described(inner) => {
            let Described { descriptor, value } = *inner;
            Value::Described(Box::new(Described { descriptor, value: with_symbols(value) }))
        }
        Value::List(items) => Value::List(items.into_iter().map(with_symbols).collect()),
        Value::Map(map) => Value::Map(
            map.into_iter()
                .map(|(key, value)| match key {
                    Value::String(key) => (Value::Symbol(key.into()), value),
                    key => (key, value),
                })
                .collect::<OrderedMap<_, _>>(),
        ),
        other => other,
    }
}

fn take_raw(buffer: &mut BytesMut) -> Result<Option<(u8, u16, Bytes)>> {
    let Some(&[a, b, c, d, words, kind, high, low]) = buffer.first_chunk::<8>() else { return Ok(None) };
    let size = u32::from_be_bytes([a, b, c, d]) as usize;
    let body = usize::from(words) * 4;
    if size > MAX_FRAME as usize || body < 8 || size < body {
        return Err(bad(format_args!(
            "a frame of {size} bytes whose body begins at {body}; at most {MAX_FRAME} are taken"
        )));
    }
    if buffer.len() < size {
        return Ok(None);
    }
    let mut frame = buffer.split_to(size).freeze();
    frame.advance(body);
    Ok(Some((kind, u16::from_be_bytes([high, low]), frame)))
}

pub(super) fn put_frame(out: &mut BytesMut, channel: u16, performative: &Performative, payload: &[u8]) -> Result<()> {
    put(out, AMQP_FRAME, channel, performative, payload)
}

pub(super) fn put_heartbeat(out: &mut BytesMut) {
    out.put_slice(&[0, 0, 0, 8, 2, AMQP_FRAME, 0, 0]);
}

fn put(out: &mut BytesMut, kind: u8, channel: u16, body: &impl Serialize, payload: &[u8]) -> Result<()> {
    let body = to_vec(body).map_err(bad)?;
    let size = u32::try_from(8 + body.len() + payload.len()).map_err(bad)?;
    out.put_u32(size);
    out.put_slice(&[2, kind]);
    out.put_u16(channel);
    out.put_slice(&body);
    out.put_slice(payload);
    Ok(())
}

/// Bytes that a frame header and a transfer performative take at most; the only long field is a tag of 32 bytes.
const TRANSFER_BYTES: usize = 128;

/// Cuts one delivery, given in two pieces, into the frames that the peer's maximum frame size allows.
pub(super) fn split_delivery(
    first: Transfer,
    (mut head, mut tail): (Bytes, Bytes),
    max_frame: usize,
) -> Vec<(Transfer, Bytes)> {
    let room = max_frame.saturating_sub(TRANSFER_BYTES).max(MIN_MAX_FRAME as usize / 2);
    // Copied together when both fit into one frame; the pieces of a long body are shared with the queue instead.
    if head.len() + tail.len() <= room {
        let mut whole = BytesMut::with_capacity(head.len() + tail.len());
        whole.put_slice(&head);
        whole.put_slice(&tail);
        (head, tail) = (whole.freeze(), Bytes::new());
    }
    let mut frames: Vec<(Transfer, Bytes)> = Vec::new();
    let mut transfer = first;
    for mut piece in [head, tail] {
        while !piece.is_empty() {
            let rest = piece.split_off(piece.len().min(room));
            let next = Transfer {
                delivery_id: None,
                delivery_tag: None,
                message_format: None,
                settled: None,
                ..transfer.clone()
            };
            frames.push((Transfer { more: true, ..std::mem::replace(&mut transfer, next) }, piece));
            piece = rest;
        }
    }
    if let Some((last, _)) = frames.last_mut() {
        last.more = false;
    }
    frames
}

#[cfg(test)]
mod tests {
    use super::*;
    use fe2o3_amqp_types::definitions::Handle;

    fn transfer() -> Transfer {
        Transfer {
            handle: Handle(0),
            delivery_id: Some(1),
            delivery_tag: None,
            message_format: Some(0),
            settled: Some(false),
            more: false,
            rcv_settle_mode: None,
            state: None,
            resume: false,
            aborted: false,
            batchable: false,
        }
    }

    fn split(head: usize, tail: usize) -> Vec<(bool, bool, usize)> {
        let pieces = (Bytes::from(vec![1; head]), Bytes::from(vec![2; tail]));
        let frames = split_delivery(transfer(), pieces, 1_128);
        frames.iter().map(|(transfer, bytes)| (transfer.delivery_id.is_some(), transfer.more, bytes.len())).collect()
    }

    #[test]
    fn a_delivery_is_cut_into_frames() {
        assert_eq!(split(100, 900), [(true, false, 1_000)]);
        assert_eq!(split(100, 901), [(true, true, 100), (false, false, 901)]);
        assert_eq!(
            split(100, 2_500),
            [(true, true, 100), (false, true, 1_000), (false, true, 1_000), (false, false, 500)]
        );
    }

    #[test]
    fn frames_with_impossible_sizes_are_refused_before_they_arrive() {
        for header in [[0xff; 8], [0, 0, 0, 7, 2, 0, 0, 0], [0, 0, 0, 8, 1, 0, 0, 0], [0, 0, 0, 8, 3, 0, 0, 0]] {
            assert!(take_raw(&mut BytesMut::from(&header[..])).is_err(), "{header:?}");
        }
        assert!(take_raw(&mut BytesMut::from(&[0, 1, 0, 0, 2, 0, 0, 0][..])).unwrap().is_none());
    }

    #[test]
    fn a_plain_response_must_hold_the_key() {
        let key = Key { name: "Root".into(), key: "secret".into() };
        assert_eq!(plain(b"\0Root\0secret", &key), Some(Identity::KeyHolder));
        assert_eq!(plain(b"someone\0Root\0secret", &key), Some(Identity::KeyHolder));
        for wrong in [&b"\0Root\0wrong"[..], b"\0Root", b"", b"Root\0secret", b"\0Root\0secret\0", b"\0\xff\0\xff"] {
            assert_eq!(plain(wrong, &key), None, "{wrong:?}");
        }
    }

    #[test]
    fn damaged_frames_never_panic() {
        let mut random = fastrand::Rng::with_seed(5);
        let mut good = BytesMut::new();
        let attach = [
            0x00, 0x53, 0x12, 0xc0, 0x1e, 0x07, 0xa1, 0x01, b'l', 0x43, 0x42, 0x50, 0x00, 0x50, 0x00, 0x00, 0x53, 0x28,
            0xc0, 0x04, 0x01, 0xa1, 0x01, b'q', 0x00, 0x53, 0x30, 0xc0, 0x04, 0x01, 0xe0, 0x01, 0x00,
        ];
        good.put_u32(8 + u32::try_from(attach.len()).unwrap());
        good.put_slice(&[2, 0, 0, 0]);
        good.put_slice(&attach);
        for _ in 0..100_000 {
            let mut bytes = good.clone();
            for _ in 0..random.usize(0..4) {
                let at = random.usize(4..bytes.len());
                bytes[at] = random.u8(..);
            }
            let _ = take_frame(&mut bytes);
        }
    }
}
