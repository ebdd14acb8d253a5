//! Lines of a file or of a pipe, each of them bounded: whatever somebody names as a file, it is read in bounded memory.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, Read},
    path::Path,
};

use bridge_core::limits;

/// Bytes of a line at most: an event at its longest, every byte of it escaped within a letter's text, and its properties.
pub const LINE_BYTES_MAX: u64 = 8 * limits::EVENT_BYTES_MAX as u64;

/// Lines, one after the other.
#[derive(Debug)]
pub struct Lines<R> {
    name: String,
    reader: BufReader<R>,
    line: Vec<u8>,
    number: u64,
}

/// One line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// Its number, from 1 on.
    pub number: u64,
    /// What stands in it, with the line feed at its end; only the last line may have none.
    pub bytes: &'a [u8],
}

impl Lines<File> {
    /// The lines of the file at `path`.
    ///
    /// # Errors
    /// It cannot be opened, or it is no regular file: a pipe or a device may never end, and cannot be read twice.
    pub fn of(path: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(path).map_err(|error| named(path, &error))?;
        refuse_folder(path, &metadata)?;
        if !metadata.is_file() {
            let detail =
                "this is a pipe or a device, and it has to be read more than once: save it to a file, and name that";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{}: {detail}", path.display())));
        }
        let file = File::open(path).map_err(|error| named(path, &error))?;
        Ok(Self::new(path.display().to_string(), file))
    }
}

/// The error, with the file that it is about.
pub(crate) fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

pub(crate) fn refuse_folder(path: &Path, metadata: &fs::Metadata) -> io::Result<()> {
    if metadata.is_dir() {
        let detail = format!("{}: this is a folder; name a file in it", path.display());
        return Err(io::Error::new(io::ErrorKind::IsADirectory, detail));
    }
    Ok(())
}

impl<R: Read> Lines<R> {
    /// The lines of `reader`, which errors call `name`.
    pub fn new(name: impl Into<String>, reader: R) -> Self {
        Self { name: name.into(), reader: BufReader::new(reader), line: Vec::new(), number: 0 }
    }

    /// The next line.
    ///
    /// # Errors
    /// It cannot be read, or is longer than [`LINE_BYTES_MAX`].
    pub fn read(&mut self) -> io::Result<Option<Line<'_>>> {
        Ok(if self.advance()? { Some(self.line()) } else { None })
    }

    /// The line that was read last.
    pub(crate) fn line(&self) -> Line<'_> {
        Line { number: self.number, bytes: &self.line }
    }

    /// Reads the next line; whether there is one.
    pub(crate) fn advance(&mut self) -> io::Result<bool> {
        self.line.clear();
        let number = self.number + 1;
        let read = (&mut self.reader).take(LINE_BYTES_MAX + 1).read_until(b'\n', &mut self.line);
        let read = read.map_err(|error| {
            io::Error::new(error.kind(), format!("{}: line {number} cannot be read: {error}", self.name))
        })?;
        if read == 0 {
            return Ok(false);
        }
        if self.line.len() as u64 > LINE_BYTES_MAX {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!(
                    "{}: line {number} has over {LINE_BYTES_MAX} bytes, the most that a line may have; is it the right file?",
                    self.name
                ),
            ));
        }
        self.number = number;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_with_their_numbers_and_the_last_may_have_no_end() {
        let mut lines = Lines::new("text", &b"one\n\nthree"[..]);
        let expected: [(u64, &[u8]); 3] = [(1, b"one\n"), (2, b"\n"), (3, b"three")];
        for (number, bytes) in expected {
            assert_eq!(lines.read().unwrap(), Some(Line { number, bytes }));
        }
        assert_eq!(lines.read().unwrap(), None);
    }

    #[test]
    fn a_line_without_an_end_is_refused_with_the_limit() {
        for endless in [Box::new(io::repeat(b'x')) as Box<dyn Read>, Box::new(File::open("/dev/zero").unwrap())] {
            let mut lines = Lines::new("device", endless);
            let error = lines.read().unwrap_err().to_string();
            assert!(error.starts_with("device: line 1 has over 8388608 bytes"), "{error}");
            assert!(lines.line.capacity() as u64 <= 2 * LINE_BYTES_MAX + 1, "{}", lines.line.capacity());
        }
        let longest = [vec![b'x'; usize::try_from(LINE_BYTES_MAX).unwrap() - 1], b"\n".to_vec()].concat();
        assert!(Lines::new("long", &longest[..]).read().unwrap().is_some());
    }

    #[test]
    fn what_is_no_file_is_refused_with_what_to_do() {
        let said = |lines: io::Result<Lines<File>>| lines.unwrap_err().to_string();
        let folder = std::env::temp_dir();
        assert!(said(Lines::of(&folder)).ends_with("this is a folder; name a file in it"));
        assert!(said(Lines::of(Path::new("/dev/zero"))).contains("save it to a file"));
        assert!(said(Lines::of(Path::new("/no/such/file"))).starts_with("/no/such/file: "));
    }
}
