//! The frames of a connection, after its handshake.

use localcloud::service_bus::fuzzing::frames;

/// However the stream is cut in pieces, the same frames are in it. The first byte says into which.
pub(crate) fn run(bytes: &[u8]) {
    let Some((length, stream)) = bytes.split_first() else { return };
    let whole = frames(std::iter::once(stream));
    assert_eq!(frames(stream.chunks(usize::from(*length).max(1))), whole);
}
