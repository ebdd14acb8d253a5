//! Tables of words and figures: columns of one width each, two blanks apart.

/// On which side the cells of a column stand, and how wide it is at least.
#[derive(Clone, Copy, Debug)]
pub(super) enum Column {
    /// Words.
    Left(usize),
    /// Figures.
    Right(usize),
}

/// The rows as lines. The last of `columns` stands for all that follow. No line ends in blanks.
pub(super) fn table<S: AsRef<str>>(columns: &[Column], rows: &[Vec<S>]) -> String {
    let cells = |at: usize| rows.iter().filter_map(move |row| row.get(at));
    let width = |at: usize, least: usize| cells(at).map(|cell| cell.as_ref().chars().count()).fold(least, usize::max);
    let column = |at: usize| match columns[at.min(columns.len() - 1)] {
        Column::Left(least) => Column::Left(width(at, least)),
        Column::Right(least) => Column::Right(width(at, least)),
    };
    let count = rows.iter().map(Vec::len).max().unwrap_or_default();
    let widths: Vec<Column> = (0..count).map(column).collect();
    let line = |row: &Vec<S>| {
        let cells = row.iter().zip(&widths).map(|(cell, column)| match *column {
            Column::Left(width) => format!("{:width$}", cell.as_ref()),
            Column::Right(width) => format!("{:>width$}", cell.as_ref()),
        });
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

/// Characters of a line that every terminal has.
const COLUMNS: usize = 80;

/// The same where it fits 80 columns; else a block for each row, with a line for each of its cells. The first row has the names.
pub(super) fn table_or_blocks(columns: &[Column], rows: &[Vec<String>]) -> String {
    let text = table(columns, rows);
    let ([names, rows @ ..], true) = (rows, text.lines().any(|line| line.chars().count() > COLUMNS)) else {
        return text;
    };
    let block = |row: &Vec<String>| {
        let cells = names.iter().zip(row).skip(1);
        let cells: Vec<_> = cells.map(|(name, cell)| vec![format!("  {name}"), cell.clone()]).collect();
        format!("{}\n{}", row.first().map_or("", String::as_str), table(&[Column::Left(0), Column::Left(0)], &cells))
    };
    rows.iter().map(block).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_is_too_wide_becomes_blocks() {
        let row = |cells: &[&str]| cells.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>();
        let columns = [Column::Left(0), Column::Right(0)];
        let narrow = [row(&["reason", "all"]), row(&["x", "1"])];
        assert_eq!(table_or_blocks(&columns, &narrow), table(&columns, &narrow));
        let wide = [row(&["reason", &"n".repeat(70), "left"]), row(&["some_reason", "1", "2"])];
        let blocks = format!("some_reason\n  {}  1\n  left{}  2\n", "n".repeat(70), " ".repeat(66));
        assert_eq!(table_or_blocks(&columns, &wide), blocks);
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_no_line_ends_in_blanks() {
        let rows = [vec!["site", "é", "n"], vec!["a", "ab", "1000"], vec!["b", ""]];
        let text = table(&[Column::Left(5), Column::Left(0), Column::Right(3)], &rows);
        assert_eq!(text, "site   \u{e9}      n\na      ab  1000\nb\n");
        assert_eq!(table(&[Column::Right(0)], &[vec!["1", "22"], vec!["333", "4"]]), "  1  22\n333   4\n");
        assert_eq!(table::<&str>(&[Column::Left(1)], &[]), "");
    }
}
