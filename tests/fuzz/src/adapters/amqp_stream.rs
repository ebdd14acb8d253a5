//! The stream of frames of a connection, on its way to the library that decodes it.

use bridge_adapters::azure::service_bus::fuzzing::{decode, frames};

/// However the stream is cut in pieces, the same comes of it; and what the library sees it can decode on an ordinary stack,
/// without a panic. The first byte says into which pieces.
pub(crate) fn run(bytes: &[u8]) {
    let Some((length, stream)) = bytes.split_first() else { return };
    let whole = frames(std::iter::once(stream));
    assert_eq!(frames(stream.chunks(usize::from(*length).max(1))), whole);
    assert_eq!(frames(stream.chunks(1)), whole);
    let (seen, found, _) = whole;
    // Eight bytes for each frame, which has as many itself.
    assert!(seen.len() <= 2 * stream.len() && found.len() <= stream.len());
    decode(&seen);
}
