//! The file of a replay's plan, line by line.

use bridge_ops::replay::plan::{Foot, Hash, Line, Reader};

use crate::text;

/// Whatever lines a plan may begin with, the foot that belongs under them makes it whole, and no other does; what its lines
/// say is written and read back the same.
pub(crate) fn run(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let (mut reader, mut hash, mut entries) = (Reader::default(), Hash::default(), 0);
    for (at, line) in text.lines().enumerate() {
        match reader.line(line) {
            Ok(parsed) => {
                assert_eq!(at == 0, matches!(parsed, Line::Head(_)), "a plan begins with its head");
                let written = match &parsed {
                    Line::Head(head) => serde_json::to_string(head),
                    Line::Entry(entry) => serde_json::to_string(entry),
                    Line::Foot(foot) => serde_json::to_string(foot),
                };
                assert_eq!(serde_json::from_str::<Line>(&written.unwrap()).unwrap(), parsed);
                entries += u64::from(at > 0);
                if at == 0 { hash.head(line) } else { hash.entry(line) }
            }
            Err(what) => {
                assert!(what.len() < 512, "not the whole of a long line again");
                return;
            }
        }
    }
    if text.lines().next().is_none() {
        return;
    }
    let foot = hash.foot();
    let longer = Foot { entries: entries + 1, ..foot.clone() };
    assert!(reader.clone().line(&serde_json::to_string(&longer).unwrap()).is_err());
    reader.line(&serde_json::to_string(&foot).unwrap()).unwrap();
    assert_eq!(reader.end().unwrap().entries, entries);
}
