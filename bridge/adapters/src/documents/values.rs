//! Documents that only brackets tell apart: the elements of an array, or JSON that is laid out over several lines.

use std::io::{self, BufRead, BufReader};

use super::{Document, Input};
use crate::lines::LINE_BYTES_MAX;

/// Documents, one after the other. Their own parser checks what is in them.
pub(super) struct Values {
    name: String,
    reader: BufReader<Input>,
    /// The line at which it reads, and the documents that began on it.
    line: u64,
    begun: u64,
    array: Array,
    document: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Array {
    /// None, or none yet.
    None,
    Open,
    Closed,
}

/// How far a document has come.
#[derive(Clone, Copy, Debug, Default)]
struct Depth {
    brackets: u64,
    in_text: bool,
    escaped: bool,
}

impl Depth {
    fn pass(&mut self, byte: u8) {
        match byte {
            _ if self.escaped => self.escaped = false,
            b'\\' if self.in_text => self.escaped = true,
            b'"' => self.in_text = !self.in_text,
            _ if self.in_text => {}
            b'{' | b'[' => self.brackets += 1,
            b'}' | b']' => self.brackets = self.brackets.saturating_sub(1),
            _ => {}
        }
    }
}

/// Whether a line ends amid brackets, and not amid a text, which no line's end may be part of.
pub(super) fn is_open(line: &[u8]) -> bool {
    let mut depth = Depth::default();
    for byte in line {
        depth.pass(*byte);
    }
    depth.brackets > 0 && !depth.in_text
}

impl Values {
    pub(super) fn new(name: &str, input: Input) -> Self {
        let reader = BufReader::new(input);
        Self { name: name.to_owned(), reader, line: 1, begun: 0, array: Array::None, document: Vec::new() }
    }

    pub(super) fn read(&mut self) -> io::Result<Option<Document<'_>>> {
        let Some(first) = self.first()? else { return Ok(None) };
        let (line, behind) = (self.line, self.begun);
        self.begun += 1;
        self.document.clear();
        let mut depth = Depth::default();
        let mut next = Some(first);
        while let Some(byte) = next {
            // Whatever has no brackets ends where an element does.
            if depth.brackets == 0 && !depth.in_text && matches!(byte, b',' | b']' | b'\n') {
                break;
            }
            self.pass(byte);
            depth.pass(byte);
            self.document.push(byte);
            if self.document.len() as u64 > LINE_BYTES_MAX {
                return Err(self.wrong(line, format!("the document that begins here has over {LINE_BYTES_MAX} bytes")));
            }
            if depth.brackets == 0 && matches!(byte, b'}' | b']') && !depth.in_text {
                return Ok(Some(Document { line, behind, bytes: &self.document }));
            }
            next = self.peek()?;
        }
        if depth.brackets > 0 || depth.in_text {
            return Err(self.wrong(line, "the document that begins here has no end; is the file whole?"));
        }
        Ok(Some(Document { line, behind, bytes: self.document.trim_ascii() }))
    }

    /// The first byte of the next document, which it leaves there; none at the end.
    fn first(&mut self) -> io::Result<Option<u8>> {
        loop {
            let Some(byte) = self.peek()? else {
                return match self.array {
                    Array::Open => Err(self.error("the array has no end; is the file whole?")),
                    Array::None | Array::Closed => Ok(None),
                };
            };
            match (self.array, byte) {
                (_, byte) if byte.is_ascii_whitespace() => {}
                (Array::Closed, _) => return Err(self.wrong(self.line, "something follows the array's end")),
                (Array::None, b'[') => self.array = Array::Open,
                (Array::Open, b',') => {}
                (Array::Open, b']') => self.array = Array::Closed,
                (Array::None, b',' | b']') => {
                    let what = "a comma or a bracket stands between documents; put [ and ] around all of them";
                    return Err(self.wrong(self.line, what));
                }
                _ => return Ok(Some(byte)),
            }
            self.pass(byte);
        }
    }

    fn peek(&mut self) -> io::Result<Option<u8>> {
        match self.reader.fill_buf() {
            Ok(bytes) => Ok(bytes.first().copied()),
            Err(error) => Err(io::Error::new(error.kind(), format!("{}: line {}: {error}", self.name, self.line))),
        }
    }

    /// Goes on behind `byte`, which was peeked at.
    fn pass(&mut self, byte: u8) {
        self.reader.consume(1);
        if byte == b'\n' {
            self.line += 1;
            self.begun = 0;
        }
    }

    fn wrong(&self, line: u64, what: impl std::fmt::Display) -> io::Error {
        self.error(&format!("line {line}: {what}"))
    }

    fn error(&self, what: &str) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, format!("{}: {what}", self.name))
    }
}
