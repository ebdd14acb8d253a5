//! The name that somebody may have meant.

/// The known name with the fewest edits to `given`, if these are at most a third of its letters.
pub(super) fn of<'a>(given: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    within(given, known, given.chars().count().div_ceil(3))
}

/// The known name with the fewest edits to `given`, if these are at most `most`.
pub(super) fn within<'a>(given: &str, known: impl Iterator<Item = &'a str>, most: usize) -> Option<&'a str> {
    let measured = known.map(|name| (edits(given, name), name));
    let (fewest, name) = measured.min_by_key(|(edits, _)| *edits)?;
    (fewest <= most).then_some(name)
}

/// Letters to insert, to remove or to replace (Levenshtein).
fn edits(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, c) in one.chars().enumerate() {
        let mut before = row[0];
        row[0] = at + 1;
        for (column, d) in other.iter().enumerate() {
            let replaced = before + usize::from(c != *d);
            before = row[column + 1];
            row[column + 1] = replaced.min(before + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_is_near_and_another_word_is_not() {
        assert_eq!((edits("kitten", "sitting"), edits("", "ab"), edits("ab", "")), (3, 2, 2));
        let known = || ["table", "queue_url", "lease_seconds"].into_iter();
        assert_eq!(of("tabel", known()), Some("table"));
        assert_eq!(of("queue_uri", known()), Some("queue_url"));
        assert_eq!(of("frobnicate", known()), None);
    }
}
