//! The stream of frames that a connection listens in on for the service's dispositions.

use bridge_adapters::azure::service_bus::fuzzing::dispositions;

/// However the stream is cut in pieces, the same is found in it. The first byte says into which.
pub(crate) fn run(bytes: &[u8]) {
    let Some((length, stream)) = bytes.split_first() else { return };
    let whole = dispositions(std::iter::once(stream));
    assert_eq!(dispositions(stream.chunks(usize::from(*length).max(1))), whole);
    assert_eq!(dispositions(stream.chunks(1)), whole);
}
