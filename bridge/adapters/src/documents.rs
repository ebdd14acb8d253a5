//! JSON documents of a file or a pipe, in bounded memory and in the forms in which tools leave them: one a line, laid out over several
//! lines, or the elements of an array; plain, or packed by gzip or zstd.

mod packed;
mod values;

use std::{
    fmt,
    fs::{self, File},
    io::{self, BufRead, BufReader, Cursor, Read},
    path::Path,
};

use self::values::Values;
use crate::lines::{LINE_BYTES_MAX, Lines, named, refuse_folder};

/// Documents, one after the other.
pub struct Documents {
    form: Form,
}

/// How documents are told apart.
enum Form {
    /// Each line is one, so that a broken line spoils no other.
    Lines(Lines<Input>),
    /// Brackets tell.
    Values(Values),
}

type Input = Box<dyn Read + Send>;

/// One document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Document<'a> {
    /// The number of the line on which it begins, from 1 on.
    pub line: u64,
    /// How many others begin before it on that line.
    pub behind: u64,
    /// Its text, without blanks around it; not checked to be JSON.
    pub bytes: &'a [u8],
}

impl Documents {
    /// The documents of `reader`, which errors call `name`.
    ///
    /// # Errors
    /// It cannot be read, or is of a form that holds no JSON; the error says what to do.
    pub fn new(name: &str, reader: impl Read + Send + 'static) -> io::Result<Self> {
        let wrong = |error: io::Error| io::Error::new(error.kind(), format!("{name}: {error}"));
        let input = packed::unpacked(Box::new(reader)).map_err(wrong)?;
        Ok(Self { form: Form::of(name, input).map_err(wrong)? })
    }

    /// The documents of whatever is at `path` and can be read once; a pipe or a device too. `count` wraps the file before it is read.
    ///
    /// # Errors
    /// As for [`Self::new`], or it cannot be opened, or it is a folder.
    pub fn open<R: Read + Send + 'static>(path: &Path, count: impl FnOnce(File) -> R) -> io::Result<Self> {
        refuse_folder(path, &fs::metadata(path).map_err(|error| named(path, &error))?)?;
        let file = File::open(path).map_err(|error| named(path, &error))?;
        Self::new(&path.display().to_string(), count(file))
    }

    /// The documents of a file that has to be read more than once.
    ///
    /// # Errors
    /// As for [`Self::new`] and [`Lines::of`].
    pub fn of(path: &Path) -> io::Result<Self> {
        Lines::of(path)?;
        Self::open(path, |file| file)
    }

    /// The next document.
    ///
    /// # Errors
    /// It cannot be read, is longer than [`LINE_BYTES_MAX`], or has no end. Nothing more comes then.
    pub fn read(&mut self) -> io::Result<Option<Document<'_>>> {
        match &mut self.form {
            Form::Values(values) => values.read(),
            Form::Lines(lines) => {
                // Only `read` borrows the line for as long as it is handed out.
                while lines.advance()? {
                    if !lines.line().bytes.trim_ascii().is_empty() {
                        let line = lines.line();
                        return Ok(Some(Document { line: line.number, behind: 0, bytes: line.bytes.trim_ascii() }));
                    }
                }
                Ok(None)
            }
        }
    }
}

impl fmt::Debug for Documents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Documents").finish_non_exhaustive()
    }
}

impl Form {
    /// By how the text begins.
    fn of(name: &str, input: Input) -> io::Result<Self> {
        let mut reader = BufReader::new(input);
        let mut head = Vec::new();
        let first = first_line(&mut reader, &mut head)?;
        let line = &head[first..];
        let (open, csv) = (values::is_open(line), is_csv(line));
        // Whoever writes into a pipe may take a while for the next line: a whole first one does not wait for it.
        let goes_on = (open || csv) && reader.fill_buf()?.first().is_some_and(|next| *next != b'{');
        let is_open = line.starts_with(b"[") || open && goes_on;
        if csv && goes_on {
            let detail =
                "this is CSV, and an event is a JSON object: write each row as one, as docs/producers.md shows";
            return Err(io::Error::new(io::ErrorKind::InvalidData, detail));
        }
        let all: Input = Box::new(Cursor::new(head).chain(reader));
        Ok(if is_open { Self::Values(Values::new(name, all)) } else { Self::Lines(Lines::new(name, all)) })
    }
}

/// Reads the first line that is not blank; answers where it begins in `head`. Of a line that is too long it reads no more than that takes.
fn first_line(reader: &mut impl BufRead, head: &mut Vec<u8>) -> io::Result<usize> {
    loop {
        let begins = head.len();
        let room = (LINE_BYTES_MAX + 1).saturating_sub(begins as u64);
        let read = reader.by_ref().take(room).read_until(b'\n', head)?;
        let blanks = head[begins..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        if read == 0 || begins + blanks < head.len() {
            return Ok(begins + blanks);
        }
    }
}

/// Whether a line that begins no JSON has columns.
fn is_csv(line: &[u8]) -> bool {
    let text = |byte: &u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace() || !byte.is_ascii();
    !line.starts_with(b"{")
        && !line.starts_with(b"[")
        && line.iter().all(text)
        && line.iter().any(|byte| matches!(byte, b',' | b';' | b'\t'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The documents, each with its place, and the error that ended them.
    fn read(text: impl Into<Vec<u8>>) -> (Vec<(u64, u64, String)>, Option<String>) {
        let mut all = Vec::new();
        let mut documents = match Documents::new("text", Cursor::new(text.into())) {
            Ok(documents) => documents,
            Err(error) => return (all, Some(error.to_string())),
        };
        loop {
            match documents.read() {
                Ok(Some(Document { line, behind, bytes })) => {
                    all.push((line, behind, String::from_utf8_lossy(bytes).into_owned()));
                }
                Ok(None) => return (all, None),
                Err(error) => return (all, Some(error.to_string())),
            }
        }
    }

    fn texts(text: impl Into<Vec<u8>>) -> Vec<String> {
        let (all, error) = read(text);
        assert_eq!(error, None);
        all.into_iter().map(|(_, _, text)| text).collect()
    }

    #[test]
    fn lines_arrays_and_laid_out_json_give_the_same() {
        let expected = [r#"{"a":"}"}"#, r#"{"a":[1,{}]}"#, r#"{"a":"\"]"}"#];
        let lines = expected.join("\n");
        assert_eq!(texts(lines.clone()), expected);
        assert_eq!(texts(format!("\u{feff}{lines}\n\n")), expected, "with a byte order mark");
        assert_eq!(texts(lines.replace('\n', "\r\n")), expected);
        assert_eq!(texts(format!("[{}]", expected.join(","))), expected);
        assert_eq!(texts(format!("\n [\n{}\n]\n", expected.join(",\n"))), expected);
        let wide = expected.map(|text| text.replacen('{', "{\n  ", 1).replace('}', "}\n"));
        let plain = |text: &String| text.replace(['\n', ' '], "");
        assert_eq!(texts(wide.join("\n")).iter().map(plain).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn places_are_the_lines_where_documents_begin() {
        let (all, _) = read("[\n{\n},{}, {}\n]");
        let places: Vec<_> = all.iter().map(|(line, behind, _)| (*line, *behind)).collect();
        assert_eq!(places, [(2, 0), (3, 0), (3, 1)]);
        assert_eq!(read("\n{}\n\n{}").0.iter().map(|(line, ..)| *line).collect::<Vec<_>>(), [2, 4]);
    }

    #[test]
    fn packed_files_are_read_as_they_are() {
        let text = "{\"a\":1}\n{\"a\":2}\n";
        let mut gzip = flate2::read::GzEncoder::new(text.as_bytes(), flate2::Compression::fast());
        let mut packed = Vec::new();
        gzip.read_to_end(&mut packed).unwrap();
        let zstd = ruzstd::encoding::compress_to_vec(text.as_bytes(), ruzstd::encoding::CompressionLevel::Fastest);
        for packed in [packed, zstd] {
            assert_eq!(texts(packed.clone()), ["{\"a\":1}", "{\"a\":2}"]);
            assert_eq!(texts(packed.repeat(2)).len(), 4, "one behind the other, as cat leaves them");
            let (_, error) = read(&packed[..packed.len() - 9]);
            assert!(error.is_some_and(|error| error.starts_with("text: ")), "one that was cut off is no whole one");
        }
    }

    #[test]
    fn what_holds_no_json_is_named_with_what_to_do() {
        let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
        for (text, expected) in [
            (utf16("\u{feff}{}"), "text: this is UTF-16; save it as UTF-8, as in: iconv -f UTF-16 -t UTF-8"),
            (utf16("{\"a\":1}"), "this is UTF-16"),
            (b"id,total\norder-1,5\n".to_vec(), "text: this is CSV, and an event is a JSON object"),
            (b"id;total\norder-1;5\n".to_vec(), "this is CSV"),
            (b"PK\x03\x04...".to_vec(), "this is a zip archive; unpack it first"),
            (b"PAR1....".to_vec(), "this is a Parquet file"),
        ] {
            let (all, error) = read(text);
            assert!(all.is_empty() && error.as_ref().is_some_and(|error| error.contains(expected)), "{error:?}");
        }
    }

    /// A line that was cut off, or that no tool of ours wrote, spoils no other.
    #[test]
    fn broken_lines_stay_lines() {
        for broken in ["{\"a\":1,", "{\"a\":\"", "once, upon a time", "}", "<html>"] {
            let (all, error) = read(format!("{broken}\n{{\"a\":2}}\n{broken}\n{{\"a\":3}}"));
            assert_eq!((all.len(), error), (4, None), "{broken}");
        }
    }

    #[test]
    fn what_has_no_end_is_refused_at_its_place() {
        for (text, count, expected) in [
            ("[{\"a\":1},\n{\"a\":", 1, "text: line 2: the document that begins here has no end"),
            ("[{\"a\":1}", 1, "text: the array has no end; is the file whole?"),
            ("[{}] {}", 1, "text: line 1: something follows the array's end"),
            ("{\n\"a\":{\n", 0, "text: line 1: the document that begins here has no end"),
            ("{\n\"a\":1\n},\n{\n\"a\":2\n}", 1, "text: line 3: a comma or a bracket stands between documents"),
            ("{\n}\n]", 1, "text: line 3: a comma or a bracket stands between documents"),
        ] {
            let (all, error) = read(text);
            assert_eq!(
                (all.len(), error.as_deref().map(|error| error.starts_with(expected))),
                (count, Some(true)),
                "{error:?}"
            );
        }
    }

    #[test]
    fn memory_does_not_grow_with_what_is_read() {
        let endless: [(Input, &str); 3] = [
            (Box::new(io::repeat(b'x')), "line 1 has over 8388608 bytes"),
            (
                Box::new(Cursor::new(b"[{\"a\":\"").chain(io::repeat(b'x'))),
                "line 1: the document that begins here has over 8388608 bytes",
            ),
            (Box::new(io::repeat(0).take(1 << 30)), "line 1 has over 8388608 bytes"),
        ];
        for (input, expected) in endless {
            let error =
                Documents::new("endless", input).and_then(|mut documents| documents.read().map(drop)).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}
