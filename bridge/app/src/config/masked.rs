//! Secrets that stand where none belongs: in an address, or in a connection string that was put into another key.

use std::borrow::Cow;

/// Fields of connection strings, and parameters of signed addresses, that open something. In small letters.
const FIELDS: [&str; 8] = [
    "sharedaccesskey=",
    "sharedaccesssignature=",
    "accountkey=",
    "secretaccesskey=",
    "secret_access_key=",
    "password=",
    "sig=",
    "x-amz-signature=",
];

/// `text` with `***` in place of each such secret: the value of a field, and the user and password of an address.
pub(crate) fn masked(text: &str) -> Cow<'_, str> {
    let small = text.to_ascii_lowercase();
    let mut cuts: Vec<(usize, usize)> = Vec::new();
    for field in FIELDS {
        cuts.extend(small.match_indices(field).map(|(at, _)| value(text, at + field.len())));
    }
    for (at, _) in small.match_indices("://") {
        let begins = at + "://".len();
        let authority =
            text[begins..].find(['/', '?', '#', '"', ' ', '\n']).map_or(text.len(), |length| begins + length);
        cuts.extend(text[begins..authority].rfind('@').map(|length| (begins, begins + length)));
    }
    if cuts.is_empty() {
        return Cow::Borrowed(text);
    }
    cuts.sort_unstable();
    let (mut masked, mut done) = (String::new(), 0);
    for (from, to) in cuts {
        if from >= done {
            masked += &text[done..from];
            masked += "***";
        }
        done = done.max(to);
    }
    masked += &text[done..];
    Cow::Owned(masked)
}

/// Where a field's value begins and ends.
fn value(text: &str, begins: usize) -> (usize, usize) {
    let length = text[begins..].find([';', '&', '"', '\'', ' ', '\n']).unwrap_or(text.len() - begins);
    (begins, begins + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_in_the_wrong_place_are_not_shown() {
        for (text, shown) in [
            ("https://example.com/a@b", "https://example.com/a@b"),
            ("https://user:pw@example.com/x", "https://***@example.com/x"),
            ("found \"http://u:p@[::1]:1\"; allowed", "found \"http://***@[::1]:1\"; allowed"),
            ("https://u:p@ss@example.com", "https://***@example.com"),
            (
                "Endpoint=sb://x/;SharedAccessKeyName=n;SharedAccessKey=hush=;EntityPath=q",
                "Endpoint=sb://x/;SharedAccessKeyName=n;SharedAccessKey=***;EntityPath=q",
            ),
            ("AccountEndpoint=https://x:443/;AccountKey=hush==;", "AccountEndpoint=https://x:443/;AccountKey=***;"),
            ("https://x/?sv=1&sig=hush&se=2", "https://x/?sv=1&sig=***&se=2"),
            ("größe://ü@é/", "größe://***@é/"),
        ] {
            assert_eq!(masked(text), shown);
        }
    }
}
