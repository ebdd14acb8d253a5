//! Text that fits its terminal: a line that is too long goes on below its last cell, and no word is broken.

use std::io::IsTerminal;

use terminal_size::{Width, terminal_size_of};

/// How wide a line may be: as `COLUMNS` says, or the terminal; none where no terminal is, so that a line stays one for `grep`.
pub(super) fn columns() -> Option<usize> {
    let told = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok()).filter(|columns| *columns > 0);
    let stdout = std::io::stdout();
    told.or_else(|| {
        let (Width(width), _) = terminal_size_of(&stdout).filter(|_| stdout.is_terminal())?;
        Some(width.into())
    })
}

/// `text` with each of its lines fitted.
pub(super) fn fit(text: &str, columns: usize) -> String {
    text.split('\n').map(|line| fit_line(line, columns)).collect::<Vec<_>>().join("\n")
}

fn fit_line(line: &str, columns: usize) -> String {
    // A command is copied whole: the terminal breaks it, and knows that it is one line.
    if width(line) <= columns || line.contains(" --") {
        return line.to_owned();
    }
    let (indent, begins) = last_cell(line, columns);
    let mut fitted = line[..begins].to_owned();
    let mut at = indent;
    for (number, word) in line[begins..].split(' ').enumerate() {
        if number > 0 && at + 1 + width(word) > columns {
            fitted.truncate(fitted.trim_end_matches(' ').len());
            fitted += "\n";
            fitted += &" ".repeat(indent);
            at = indent;
        } else if number > 0 {
            fitted.push(' ');
            at += 1;
        }
        fitted += word;
        at += width(word);
    }
    fitted
}

/// Where the last cell of a line stands that has half of the width to itself: its column, and its place in the text.
fn last_cell(line: &str, columns: usize) -> (usize, usize) {
    let blanks = line.len() - line.trim_start().len();
    let cells = line.match_indices("  ").map(|(at, _)| at + line[at..].len() - line[at..].trim_start().len());
    let cell = cells.filter(|at| width(&line[..*at]) <= columns / 2).max();
    cell.map_or((blanks + 2, blanks), |at| (width(&line[..at]), at))
}

/// Characters that are seen: colours are none.
fn width(text: &str) -> usize {
    let mut seen = 0;
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        if c == '\u{1b}' {
            characters.by_ref().find(char::is_ascii_alphabetic);
        } else {
            seen += 1;
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_goes_on_below_its_last_cell() {
        let line = "warn  aws:here  queue  keeps a message for a day, and an outage of that length loses events";
        let expected = "warn  aws:here  queue  keeps a message for a\n                       day, and an outage of\n                       that length loses\n                       events";
        assert_eq!(fit(line, 46), expected);
        assert_eq!(fit(line, 200), line);
        let coloured = line.replace("warn", "\u{1b}[33mwarn\u{1b}[0m");
        assert_eq!(fit(&coloured, 46).replace("\u{1b}[33m", "").replace("\u{1b}[0m", ""), expected);
        assert_eq!(fit("one two three four\n\nx", 10), "one two\n  three\n  four\n\nx");
    }

    #[test]
    fn what_is_copied_and_what_is_one_word_stays_whole() {
        for line in
            ["next: bridge replay --from aws:us-east-1/dlq --to owed", "https://sqs.us-east-1.amazonaws.com/1/q"]
        {
            assert_eq!(fit(line, 20), line);
        }
    }
}
