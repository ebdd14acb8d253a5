//! The runbooks, as pages: whoever needs one has no time to look for the repository. They are inside the binary, as
//! Markdown; this renders the little of it that they use.

use axum::{
    Router,
    extract::Path,
    http::StatusCode,
    response::{Html, IntoResponse, Response},
    routing::get,
};

macro_rules! runbooks {
    ($($name:literal),*) => {
        &[$(($name, include_str!(concat!("../../../../runbooks/", $name, ".md")))),*]
    };
}

/// Name and text of each.
const RUNBOOKS: &[(&str, &str)] = runbooks![
    "after-the-outage",
    "aws-down",
    "azure-down",
    "clock-skew",
    "dead-letters",
    "does-not-start",
    "halted",
    "lag",
    "stores-differ",
    "two-contents"
];

/// A page for each, and one that lists them.
pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new().route("/runbooks/", get(list)).route("/runbooks/{name}", get(show))
}

async fn list() -> Html<String> {
    let mut items = String::new();
    for (name, text) in RUNBOOKS {
        items += &format!("<li><a href=\"/runbooks/{name}\">{}</a></li>\n", escaped(title(text)));
    }
    Html(page("Runbooks", &format!("<h1>Runbooks</h1>\n<ul>\n{items}</ul>\n")))
}

async fn show(Path(name): Path<String>) -> Response {
    match RUNBOOKS.iter().find(|(one, _)| *one == name) {
        Some((_, text)) => Html(page(title(text), &rendered(text))).into_response(),
        None => (StatusCode::NOT_FOUND, "there is no such runbook; /runbooks/ lists them\n").into_response(),
    }
}

fn title(text: &str) -> &str {
    text.lines().next().unwrap_or_default().trim_start_matches("# ")
}

fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{} · bridge</title>\n\
         <link rel=\"icon\" href=\"/assets/icon.svg\" type=\"image/svg+xml\">\n\
         <link rel=\"stylesheet\" href=\"/assets/style.css\">\n<link rel=\"stylesheet\" href=\"/assets/parts.css\">\n\
         <script src=\"/assets/theme.js\"></script>\n</head>\n<body>\n\
         <header><p class=\"name\"><a href=\"/\">bridge</a> · <a href=\"/runbooks/\">runbooks</a></p>\
         <button id=\"theme\" type=\"button\">Theme: system</button></header>\n\
         <main><section class=\"runbook\">\n{body}</section></main>\n</body>\n</html>\n",
        escaped(title)
    )
}

/// Headings, paragraphs, fenced code, tables and lists, which may hold all of that again.
fn rendered(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let mut html = String::new();
    let mut at = 0;
    while at < lines.len() {
        let rest = &lines[at..];
        let (block, taken) = block(rest);
        html += &block;
        at += taken.max(1);
    }
    html
}

/// The block that `lines` begin with, and how many lines it has.
fn block(lines: &[&str]) -> (String, usize) {
    let first = lines[0];
    if first.trim().is_empty() {
        return (String::new(), 1);
    }
    let hashes = first.chars().take_while(|c| *c == '#').count();
    if (1..=4).contains(&hashes) {
        return (format!("<h{hashes}>{}</h{hashes}>\n", inline(first[hashes..].trim())), 1);
    }
    if first.starts_with("```") {
        let length = lines[1..].iter().position(|line| line.starts_with("```")).unwrap_or(lines.len() - 1);
        let code = escaped(&lines[1..=length].join("\n"));
        return (format!("<pre tabindex=\"0\"><code>{code}\n</code></pre>\n"), length + 2);
    }
    if first.starts_with('|') {
        let length = lines.iter().take_while(|line| line.starts_with('|')).count();
        return (table(&lines[..length]), length);
    }
    if item_width(first).is_some() {
        return list_of(lines);
    }
    let goes_on = |line: &&&str| {
        !line.trim().is_empty() && !line.starts_with("```") && !line.starts_with('|') && item_width(line).is_none()
    };
    let length = 1 + lines[1..].iter().take_while(goes_on).count();
    (format!("<p>{}</p>\n", inline(&lines[..length].join(" "))), length)
}

/// The width of a list item's mark, if the line begins one.
fn item_width(line: &str) -> Option<usize> {
    let digits = line.chars().take_while(char::is_ascii_digit).count();
    (line.starts_with("- ").then_some(2))
        .or_else(|| (digits > 0 && line[digits..].starts_with(". ")).then_some(digits + 2))
}

fn list_of(lines: &[&str]) -> (String, usize) {
    let mark = if lines[0].starts_with('-') { "ul" } else { "ol" };
    let (mut items, mut at) = (String::new(), 0);
    while let Some(width) = lines.get(at).and_then(|line| item_width(line)) {
        let goes_on = |line: &&&str| line.trim().is_empty() || line.starts_with(&" ".repeat(width));
        let length = 1 + lines[at + 1..].iter().take_while(goes_on).count();
        let content: Vec<_> = lines[at..at + length].iter().map(|line| line.get(width..).unwrap_or_default()).collect();
        items += &format!("<li>{}</li>\n", rendered(&content.join("\n")));
        at += length;
    }
    (format!("<{mark}>\n{items}</{mark}>\n"), at)
}

fn table(lines: &[&str]) -> String {
    let cells = |line: &str, mark: &str| -> String {
        let inner = line.trim().trim_start_matches('|').trim_end_matches('|');
        inner
            .split('|')
            .fold(String::new(), |row, cell| row + &format!("<{mark}>{}</{}>", inline(cell.trim()), &mark[..2]))
    };
    let head = cells(lines[0], "th scope=\"col\"");
    let rows =
        lines.iter().skip(2).fold(String::new(), |rows, line| rows + &format!("<tr>{}</tr>\n", cells(line, "td")));
    format!(
        "<div class=\"scroll\" role=\"region\" aria-label=\"Table\" tabindex=\"0\"><table>\n\
         <thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n"
    )
}

/// Code, strong words, anchors; another runbook that is named becomes a link to it.
fn inline(text: &str) -> String {
    let mut html = String::new();
    let mut strong = false;
    for (index, part) in text.split('`').enumerate() {
        if index % 2 == 1 {
            let code = escaped(part);
            let name = part.strip_prefix("runbooks/").and_then(|file| file.strip_suffix(".md"));
            html += &match name.filter(|name| RUNBOOKS.iter().any(|(one, _)| one == name)) {
                Some(name) => format!("<a href=\"/runbooks/{name}\"><code>{code}</code></a>"),
                None => format!("<code>{code}</code>"),
            };
            continue;
        }
        for (index, words) in part.split("**").enumerate() {
            if index > 0 {
                html += if strong { "</strong>" } else { "<strong>" };
                strong = !strong;
            }
            html += &escaped(words).replace("&lt;a id=&quot;", "<a id=\"").replace("&quot;&gt;&lt;/a&gt;", "\"></a>");
        }
    }
    html
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_runbook_has_a_page() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../runbooks");
        let mut files: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
            .collect();
        files.sort();
        let pages: Vec<_> = RUNBOOKS.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(files, pages);
    }

    #[test]
    fn the_markdown_that_runbooks_use_is_rendered() {
        let text = "# A & B\n\nSee `runbooks/halted.md` and\n**`<this>`**.\n\n1. One:\n   ```sh\n   a < b\n   ```\n2. Two\n\n\
                    | a | b |\n|---|---|\n| <a id=\"x\"></a>`x` | y |\n";
        let expected = "<h1>A &amp; B</h1>\n\
            <p>See <a href=\"/runbooks/halted\"><code>runbooks/halted.md</code></a> and <strong><code>&lt;this&gt;</code></strong>.</p>";
        let html = rendered(text);
        assert!(html.starts_with(expected), "{html}");
        assert!(
            html.contains("<ol>\n<li><p>One:</p>\n<pre tabindex=\"0\"><code>a &lt; b\n</code></pre>\n</li>"),
            "{html}"
        );
        assert!(html.contains("<li><p>Two</p>\n</li>\n</ol>"), "{html}");
        assert!(html.contains("<tr><td><a id=\"x\"></a><code>x</code></td><td>y</td></tr>"), "{html}");
    }

    #[test]
    fn no_markdown_is_left_over() {
        for (name, text) in RUNBOOKS {
            let html = rendered(text);
            let outside: String = html
                .split("<code>")
                .enumerate()
                .map(|(index, part)| if index == 0 { part } else { part.split("</code>").nth(1).unwrap_or_default() })
                .collect();
            for mark in ["**", "```", "](", "| ", "\n#", "&lt;a"] {
                assert!(!outside.contains(mark), "{name} has a {mark:?}, which is not rendered");
            }
        }
    }
}
