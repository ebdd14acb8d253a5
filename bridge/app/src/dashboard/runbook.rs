//! The runbooks, as pages: whoever needs one has no time to look for the repository. They are inside the binary, as
//! Markdown.

use axum::{
    Router,
    extract::Path,
    http::StatusCode,
    response::{Html, IntoResponse, Response},
    routing::get,
};
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd, html::push_html};

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
    "store-away",
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

/// The page's HTML. Tables and code can be scrolled with the keyboard; the name of another runbook is a link to it.
fn rendered(text: &str) -> String {
    let raw = |html: &'static str| Event::Html(html.into());
    let events = Parser::new_ext(text, Options::ENABLE_TABLES).flat_map(|event| match event {
        Event::Start(Tag::CodeBlock(_)) => vec![raw("<pre tabindex=\"0\"><code>")],
        Event::End(TagEnd::CodeBlock) => vec![raw("</code></pre>\n")],
        Event::Start(Tag::Table(_)) => {
            vec![raw("<div class=\"scroll\" role=\"region\" aria-label=\"Table\" tabindex=\"0\">"), event]
        }
        Event::End(TagEnd::Table) => vec![event, raw("</div>\n")],
        Event::Code(code) => {
            let name = code.strip_prefix("runbooks/").and_then(|file| file.strip_suffix(".md"));
            let known = name.filter(|name| RUNBOOKS.iter().any(|(one, _)| one == name));
            vec![match known {
                Some(name) => Event::InlineHtml(format!("<a href=\"/runbooks/{name}\"><code>{code}</code></a>").into()),
                None => Event::Code(code),
            }]
        }
        other => vec![other],
    });
    let mut html = String::new();
    push_html(&mut html, events);
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
    fn runbooks_are_linked_and_what_is_wide_can_be_scrolled() {
        let text = "# A & B\n\nSee `runbooks/halted.md` and\n**`<this>`**, not `runbooks/none.md`.\n\n1. One:\n   ```sh\n   a < b\n   ```\n2. Two\n\n\
                    | a | b |\n|---|---|\n| <a id=\"x\"></a>`x` | y |\n";
        let html = rendered(text);
        for part in [
            "<h1>A &amp; B</h1>",
            "<a href=\"/runbooks/halted\"><code>runbooks/halted.md</code></a>",
            "<strong><code>&lt;this&gt;</code></strong>, not <code>runbooks/none.md</code>",
            "<pre tabindex=\"0\"><code>a &lt; b\n</code></pre>",
            "tabindex=\"0\"><table>",
            "<tr><td><a id=\"x\"></a><code>x</code></td><td>y</td></tr>",
            "</table></div>",
        ] {
            assert!(html.replace("</table>\n</div>", "</table></div>").contains(part), "no {part} in {html}");
        }
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
