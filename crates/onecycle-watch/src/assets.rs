//! The files of the page, embedded in the program.

use onecycle_plot::web;

/// A file of the page.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asset {
    pub(crate) contents: &'static str,
    pub(crate) kind: &'static str,
}

/// The page itself.
pub(crate) const PAGE: Asset = Asset {
    contents: include_str!("../assets/index.html"),
    kind: "text/html; charset=utf-8",
};

/// The file with this path; `None` if there is none.
pub(crate) fn find(path: &str) -> Option<Asset> {
    let (script, style) = ("text/javascript; charset=utf-8", "text/css; charset=utf-8");
    let (contents, kind) = match path {
        "/app.js" => (include_str!("../assets/app.js"), script),
        "/charts.js" => (web::CHARTS_MODULE, script),
        "/panels.js" => (include_str!("../assets/panels.js"), script),
        "/charts.css" => (web::CHARTS_STYLE, style),
        "/style.css" => (include_str!("../assets/style.css"), style),
        "/icon.svg" => (include_str!("../assets/icon.svg"), "image/svg+xml"),
        "/uplot.js" => (web::UPLOT_SCRIPT, script),
        "/uplot.css" => (web::UPLOT_STYLE, style),
        "/uplot-licence.txt" => (web::UPLOT_LICENCE, "text/plain; charset=utf-8"),
        _ => return None,
    };
    Some(Asset { contents, kind })
}
