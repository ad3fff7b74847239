use std::fmt::Write as _;

use onecycle_plot::{Figure, PICTURES, escape_xml as escape, web};
use sha2::{Digest, Sha256};

use super::base64;
use crate::TrainError;

/// Builder of an HTML page that needs no network. Its figures are pictures, which its own scripts turn
/// into charts with hover and zoom; without scripts they stay pictures. All text is escaped, except
/// text that is documented as HTML.
pub struct Page {
    html: String,
    has_charts: bool,
}

/// Content security policy: the page loads and sends nothing, and runs these scripts only. Its pictures
/// are inside of it.
fn policy() -> String {
    let hashes = scripts().map(|script| base64::encode(&Sha256::digest(script)));
    let [library, charts] = hashes;
    format!(
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{library}' 'sha256-{charts}'"
    )
}

/// The contents of the two script elements.
fn scripts() -> [String; 2] {
    let charts = format!("{}{}", web::CHARTS_MODULE, web::FIGURES_SCRIPT);
    [web::UPLOT_SCRIPT.to_owned(), charts]
}

impl Page {
    /// Starts a page with a title.
    pub fn new(title: &str) -> Self {
        let title = escape(title);
        let html = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"{}\">\n\
             <title>{title}</title>\n<style>\n{}{}{}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n",
            policy(),
            web::UPLOT_STYLE,
            web::CHARTS_STYLE,
            include_str!("style.css"),
        );
        Page {
            html,
            has_charts: false,
        }
    }

    /// The HTML so far, for appending.
    pub fn html(&mut self) -> &mut String {
        &mut self.html
    }

    /// Appends a heading with an `id` for links.
    pub fn heading(&mut self, id: &str, text: &str) {
        let _ = writeln!(self.html, "<h2 id=\"{}\">{}</h2>", escape(id), escape(text));
    }

    /// Appends a paragraph; `class` may be empty.
    pub fn paragraph(&mut self, class: &str, text: &str) {
        let class = match class {
            "" => String::new(),
            class => format!(" class=\"{class}\""),
        };
        let _ = writeln!(self.html, "<p{class}>{}</p>", escape(text));
    }

    /// Appends a command to copy.
    pub fn code(&mut self, text: &str) {
        let _ = writeln!(self.html, "<pre><code>{}</code></pre>", escape(text));
    }

    /// Appends a table. The first column has the names of the rows.
    pub fn table(&mut self, header: &[&str], rows: &[Vec<String>]) {
        let escaped = rows
            .iter()
            .map(|row| row.iter().map(|cell| escape(cell)).collect::<Vec<_>>())
            .collect::<Vec<_>>();
        self.table_of_html("card scroll", header, &escaped);
    }

    /// Appends a table of sentences, shown at full height. Its cells are HTML.
    pub fn table_of_sentences(&mut self, header: &[&str], rows: &[Vec<String>]) {
        self.table_of_html("card scroll sentences", header, rows);
    }

    fn table_of_html(&mut self, class: &str, header: &[&str], rows: &[Vec<String>]) {
        let page = &mut self.html;
        // Writing to a String cannot fail, here and below.
        let _ = write!(
            page,
            "<div class=\"{class}\"><table>\n<thead><tr>{}</tr></thead>\n<tbody>\n",
            cells("th", header.iter().map(|cell| escape(cell))),
        );
        for row in rows {
            let mut row = row.iter().cloned();
            let first = row.next().unwrap_or_default();
            let _ = writeln!(page, "<tr><th>{first}</th>{}</tr>", cells("td", row));
        }
        page.push_str("</tbody></table></div>\n");
    }

    /// Appends figures side by side, each with its caption. `folder` is the path from the page to
    /// their files.
    ///
    /// # Errors
    /// Those of [`Figure::svg`].
    pub fn figures<'a>(
        &mut self,
        folder: &str,
        figures: impl IntoIterator<Item = (&'a Figure, &'a str)>,
    ) -> Result<(), TrainError> {
        self.html.push_str("<div class=\"figures\">\n");
        for (figure, caption) in figures {
            let (name, folder) = (escape(&figure.name), escape(folder));
            let link = |ending: &&str| {
                let title = ending.to_uppercase();
                format!("<a href=\"{folder}/{name}.{ending}\">{title}</a>")
            };
            let pictures: Vec<String> = PICTURES.iter().map(link).collect();
            let data = web::figure_json(figure).map_or(String::new(), |json| {
                self.has_charts = true;
                format!("<script type=\"application/json\">{json}</script>\n")
            });
            let _ = write!(
                self.html,
                "<figure class=\"card\" id=\"{name}\">\n<div>{}</div>\n<figcaption>{} \
                 Data: <a href=\"{folder}/{name}.csv\">CSV</a>; picture: {}.\
                 </figcaption>\n{data}</figure>\n",
                figure.svg()?,
                escape(caption),
                pictures.join(", "),
            );
        }
        self.html.push_str("</div>\n");
        Ok(())
    }

    /// Returns the complete page.
    pub fn finish(mut self) -> String {
        self.html.push_str("</main>\n");
        if self.has_charts {
            let [library, charts] = scripts();
            let _ = writeln!(
                self.html,
                "<!-- uPlot:\n{}-->\n<script>{library}</script>\n<script type=\"module\">{charts}</script>",
                web::UPLOT_LICENCE,
            );
        }
        self.html.push_str("</body>\n</html>\n");
        self.html
    }
}

fn cells(tag: &str, cells: impl Iterator<Item = String>) -> String {
    cells.fold(String::new(), |mut row, cell| {
        let _ = write!(row, "<{tag}>{cell}</{tag}>");
        row
    })
}
