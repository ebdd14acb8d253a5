//! The files of the page, inside the binary: nothing comes from another host, and nothing has to be installed.

use std::hash::{DefaultHasher, Hash, Hasher};

use axum::{
    Router,
    http::{
        HeaderMap, StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH},
    },
    response::{IntoResponse, Response},
    routing::get,
};

struct Asset {
    path: &'static str,
    kind: &'static str,
    text: &'static str,
}

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

macro_rules! asset {
    ($path:literal, $kind:expr, $file:literal) => {
        Asset { path: $path, kind: $kind, text: include_str!($file) }
    };
}

const ASSETS: &[Asset] = &[
    asset!("/", HTML, "index.html"),
    asset!("/assets/icon.svg", "image/svg+xml", "icon.svg"),
    asset!("/assets/style.css", STYLE, "style.css"),
    asset!("/assets/parts.css", STYLE, "parts.css"),
    asset!("/assets/theme.js", SCRIPT, "theme.js"),
    asset!("/assets/main.js", SCRIPT, "main.js"),
    asset!("/assets/stream.js", SCRIPT, "stream.js"),
    asset!("/assets/dom.js", SCRIPT, "dom.js"),
    asset!("/assets/format.js", SCRIPT, "format.js"),
    asset!("/assets/views/headline.js", SCRIPT, "views/headline.js"),
    asset!("/assets/views/matrix.js", SCRIPT, "views/matrix.js"),
    asset!("/assets/views/owed.js", SCRIPT, "views/owed.js"),
    asset!("/assets/views/sites.js", SCRIPT, "views/sites.js"),
    asset!("/assets/views/letters.js", SCRIPT, "views/letters.js"),
    asset!("/assets/views/charts.js", SCRIPT, "views/charts.js"),
    asset!("/assets/views/chart.js", SCRIPT, "views/chart.js"),
    asset!("/assets/views/conflicts.js", SCRIPT, "views/conflicts.js"),
    asset!("/assets/vendor/uPlot.iife.min.js", SCRIPT, "vendor/uPlot.iife.min.js"),
    asset!("/assets/vendor/uPlot.min.css", STYLE, "vendor/uPlot.min.css"),
    asset!("/assets/vendor/uPlot.LICENSE", "text/plain; charset=utf-8", "vendor/uPlot.LICENSE"),
];

/// A route for each file.
pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    ASSETS.iter().fold(Router::new(), |router, asset| {
        router.route(asset.path, get(async move |headers: HeaderMap| answer(asset, &headers)))
    })
}

/// The file, or that the browser's copy still is it. Names stay the same from version to version, so browsers ask each time.
fn answer(asset: &Asset, headers: &HeaderMap) -> Response {
    let mut hasher = DefaultHasher::new();
    asset.text.hash(&mut hasher);
    let tag = format!("\"{:016x}\"", hasher.finish());
    let fresh = [(ETAG, tag.as_str()), (CACHE_CONTROL, "no-cache")];
    if headers.get(IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
        return (StatusCode::NOT_MODIFIED, fresh).into_response();
    }
    (fresh, [(CONTENT_TYPE, asset.kind)], asset.text).into_response()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// A module that is forgotten in the table would be missing from the page, and one that is renamed from the binary.
    #[test]
    fn every_file_is_served() {
        fn walk(folder: &Path, found: &mut Vec<String>) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    walk(&path, found);
                } else if path.extension().is_none_or(|ending| ending != "md" && ending != "rs") {
                    found.push(std::fs::read_to_string(path).unwrap());
                }
            }
        }
        let mut files = Vec::new();
        walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/dashboard/assets"), &mut files);
        let mut served: Vec<_> = ASSETS.iter().map(|asset| asset.text.to_owned()).collect();
        files.sort();
        served.sort();
        assert!(files == served, "{} files, {} served", files.len(), served.len());
    }

    #[test]
    fn a_browser_that_has_a_file_is_told_so() {
        let asset = &ASSETS[0];
        let first = answer(asset, &HeaderMap::new());
        assert_eq!(first.status(), StatusCode::OK);
        let mut headers = HeaderMap::new();
        headers.insert(IF_NONE_MATCH, first.headers()[ETAG].clone());
        assert_eq!(answer(asset, &headers).status(), StatusCode::NOT_MODIFIED);
        headers.insert(IF_NONE_MATCH, "\"of an earlier version\"".parse().unwrap());
        assert_eq!(answer(asset, &headers).status(), StatusCode::OK);
    }
}
