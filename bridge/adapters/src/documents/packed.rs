//! What a file is packed in, by its first bytes.

use std::io::{self, BufRead, BufReader, Cursor, Read};

use flate2::read::MultiGzDecoder;
use ruzstd::decoding::StreamingDecoder;

use super::Input;

/// Bytes that tell what a file is.
const HEAD_BYTES: u64 = 4;

/// First bytes of files that hold no JSON, with what they are and what to do.
const FOREIGN: [(&[u8], &str); 6] = [
    (b"PK\x03\x04", "a zip archive; unpack it first, as in: unzip -p FILE"),
    (b"BZh", "packed by bzip2; unpack it first, as in: bzcat FILE"),
    (b"\xfd7zX", "packed by xz; unpack it first, as in: xzcat FILE"),
    (b"PAR1", "a Parquet file; write each row as a JSON object"),
    (b"Obj\x01", "an Avro file; write each record as a JSON object"),
    (b"SQLi", "an SQLite database; write each row as a JSON object"),
];

/// The text of `input`: unpacked, and without a byte order mark.
pub(super) fn unpacked(input: Input) -> io::Result<Input> {
    let (head, input) = peeked(input)?;
    let text: Input = match head.as_slice() {
        [0x1f, 0x8b, ..] => Box::new(MultiGzDecoder::new(input)),
        [0x28, 0xb5, 0x2f, 0xfd] => Box::new(Frames { frame: None, rest: Some(BufReader::new(input)) }),
        _ => input,
    };
    let (head, mut text) = peeked(text)?;
    let wrong = |what: String| Err(io::Error::new(io::ErrorKind::InvalidData, what));
    if let Some((_, what)) = FOREIGN.iter().find(|(bytes, _)| head.starts_with(bytes)) {
        return wrong(format!("this is {what}"));
    }
    match head.as_slice() {
        // Text in ASCII has no zero, and one of two bytes is zero in UTF-16.
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [1..=255, 0, ..] | [0, 1..=255, ..] => {
            wrong("this is UTF-16; save it as UTF-8, as in: iconv -f UTF-16 -t UTF-8 FILE".to_owned())
        }
        [0xef, 0xbb, 0xbf, ..] => {
            text.read_exact(&mut [0; 3])?;
            Ok(text)
        }
        _ => Ok(text),
    }
}

/// The first bytes of `input`, and all of it.
fn peeked(mut input: Input) -> io::Result<(Vec<u8>, Input)> {
    let mut head = Vec::new();
    input.by_ref().take(HEAD_BYTES).read_to_end(&mut head)?;
    Ok((head.clone(), Box::new(Cursor::new(head).chain(input))))
}

/// The frames of a zstd file, one behind the other: the decoder reads one.
struct Frames {
    frame: Option<Box<StreamingDecoder<BufReader<Input>, ruzstd::decoding::FrameDecoder>>>,
    /// What no frame has begun to read.
    rest: Option<BufReader<Input>>,
}

impl Read for Frames {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(frame) = &mut self.frame {
                match frame.read(into)? {
                    0 if !into.is_empty() => self.rest = self.frame.take().map(|frame| frame.into_inner()),
                    read => return Ok(read),
                }
            }
            let Some(mut rest) = self.rest.take() else { return Ok(0) };
            if rest.fill_buf()?.is_empty() {
                return Ok(0);
            }
            let frame =
                StreamingDecoder::new(rest).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            self.frame = Some(Box::new(frame));
        }
    }
}
