//! `report.html`: a [`Report`] of a run in one file, without network. Its figures are charts with hover and
//! zoom; without scripts, and on paper, they are pictures.

mod assessment;
pub(crate) mod base64;
mod page;
mod training_images;

use std::fmt::Write as _;
use std::path::Path;

use crate::{
    TrainError, assessment::Scores, config::flatten, data_report::DataReport, depth::DepthRate,
    diagnose::Finding, figures::CaptionedFigure, files::write_whole, record::EpochRecord,
    training_images::TrainingImages,
};
use onecycle_plot::{
    escape_xml as escape,
    format::{duration, percent, significant},
};

pub use assessment::AssessmentSection;
pub use page::Page;

/// Contents of a report. All text is escaped when it is written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Report<'a> {
    /// Title of the page.
    pub title: &'a str,
    /// The command that repeats the run.
    pub command: &'a str,
    /// Further rows of the summary: model, parameters, device, threads, versions, ...
    pub summary: &'a [(&'a str, String)],
    /// The complete resolved configuration as TOML.
    pub config: &'a str,
    /// The data files that the run read.
    pub data: &'a [DataChecksum],
    /// The classes and parts of the images.
    pub images: Option<&'a DataReport>,
    /// Accuracy (0 to 1) and loss of the final network on images that no decision was based on.
    pub test: Option<(f64, f64)>,
    /// Measurements of the final network on each class.
    pub assessment: Option<AssessmentSection<'a>>,
    /// The lines of `epochs.jsonl`.
    pub epochs: &'a [EpochRecord],
    /// The figures. Their files are in the folder `figures` beside the page.
    pub figures: &'a [CaptionedFigure],
    /// Some training images, with the PNG that shows them.
    pub training_images: Option<(&'a TrainingImages, &'a [u8])>,
    /// The findings of a diagnosis: noise, sharpness, gap.
    pub diagnosis: &'a [Finding],
    /// Result of the run in `head/` that trained the last layer before, in words.
    pub head: Option<&'a str>,
    /// Learning rates of the layers by depth, if they differ.
    pub rates: &'a [DepthRate],
}

/// A file of a data set, with its checksum for comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataChecksum {
    /// Name of the file.
    pub name: String,
    /// SHA-256 of its contents in hexadecimal digits.
    pub sha256: String,
}

impl Report<'_> {
    /// Returns the page.
    ///
    /// # Errors
    /// Those of [`onecycle_plot::Figure::svg`].
    pub fn html(&self) -> Result<String, TrainError> {
        let mut whole = Page::new(self.title);
        self.headline(whole.html());
        self.figures(&mut whole)?;
        if let Some((images, picture)) = self.training_images {
            training_images::write(&mut whole, images, picture);
        }
        if let Some(assessment) = &self.assessment {
            assessment.write(&mut whole)?;
        }
        let page = whole.html();
        self.diagnosis(page);
        self.finetuning(page);
        self.epochs(page);
        self.summary(page);
        self.configuration(page);
        self.images(page);
        self.data(page);
        self.reproduce(page);
        Ok(whole.finish())
    }

    /// Writes the page to `path`.
    ///
    /// # Errors
    /// Those of [`html`](Self::html), and [`FileError::Io`](crate::FileError::Io).
    pub fn write(&self, path: &Path) -> Result<(), TrainError> {
        Ok(write_whole(path, self.html()?.as_bytes())?)
    }

    /// The epoch with the highest validation accuracy, the first one on ties.
    fn best(&self) -> Option<&EpochRecord> {
        let comparable = self
            .epochs
            .iter()
            .filter(|record| !record.val_accuracy.is_nan());
        comparable
            .rev()
            .max_by(|a, b| a.val_accuracy.total_cmp(&b.val_accuracy))
    }

    fn headline(&self, page: &mut String) {
        let Some(last) = self.epochs.last() else {
            page.push_str("<p class=\"warning\">The run ended before its first evaluation.</p>\n");
            return;
        };
        let diverged =
            |record: &&EpochRecord| !(record.train_loss.is_finite() && record.val_loss.is_finite());
        if let Some(record) = self.epochs.iter().find(diverged) {
            let _ = writeln!(
                page,
                "<p class=\"warning\">The run diverged: in epoch {} the training or validation loss was not \
                 finite. Try a lower peak learning rate.</p>",
                record.epoch + 1,
            );
        }
        let seconds: f64 = self.epochs.iter().map(|record| record.seconds).sum();
        let best = self.best().map_or_else(
            || ("–".to_owned(), String::new()),
            |best| {
                (
                    percent(best.val_accuracy),
                    format!("in epoch {}", best.epoch + 1),
                )
            },
        );
        let mut cards = vec![
            (
                "Final validation accuracy",
                percent(last.val_accuracy),
                format!("loss {}", significant(last.val_loss)),
            ),
            ("Best validation accuracy", best.0, best.1),
            (
                "Epochs",
                (last.epoch + 1).to_string(),
                format!("{} steps", last.steps),
            ),
            (
                "Training time",
                duration(seconds),
                format!(
                    "{} images/s at the end",
                    significant(last.images_per_second)
                ),
            ),
        ];
        if let Some((accuracy, loss)) = self.test {
            let detail = format!("loss {}", significant(loss));
            cards.insert(0, ("Test accuracy", percent(accuracy), detail));
        }
        let scores = self.assessment.map(|section| section.assessment.scores);
        if let Some(scores) = scores.filter(Scores::is_imbalanced) {
            let detail = format!("macro F1 {}", percent(scores.macro_f1));
            cards.insert(
                1,
                (
                    "Balanced accuracy",
                    percent(scores.balanced_accuracy),
                    detail,
                ),
            );
        }
        page.push_str("<dl class=\"cards\">\n");
        for (term, value, detail) in cards {
            let _ = writeln!(
                page,
                "<div><dt>{term}</dt><dd>{value}<small>{detail}</small></dd></div>"
            );
        }
        page.push_str("</dl>\n");
    }

    fn figures(&self, page: &mut Page) -> Result<(), TrainError> {
        if self.figures.is_empty() {
            return Ok(());
        }
        page.html().push_str("<h2>Figures</h2>\n");
        let captioned = self
            .figures
            .iter()
            .map(|captioned| (&captioned.figure, captioned.caption));
        page.figures("figures", captioned)
    }

    fn diagnosis(&self, page: &mut String) {
        if self.diagnosis.is_empty() {
            return;
        }
        page.push_str(
            "<h2>Diagnosis</h2>\n<div class=\"card scroll\"><table class=\"pairs\">\n<thead><tr><th>quantity</th>\
             <th>value</th><th>meaning</th></tr></thead>\n<tbody>\n",
        );
        for row in self.diagnosis {
            let _ = writeln!(
                page,
                "<tr><th>{}</th><td>{}</td><td>{}</td></tr>",
                escape(&row.name),
                escape(&row.value),
                escape(&row.meaning)
            );
        }
        page.push_str("</tbody></table></div>\n");
    }

    /// The run before this one, and the learning rates by depth.
    fn finetuning(&self, page: &mut String) {
        if self.head.is_none() && self.rates.is_empty() {
            return;
        }
        page.push_str("<h2>Pretrained network</h2>\n");
        if let Some(head) = self.head {
            let _ = writeln!(
                page,
                "<p>First, the last layer was trained on features of the frozen network: {}. \
                 <a href=\"head/report.html\">Report of that run</a>.</p>",
                escape(head)
            );
        }
        if !self.rates.is_empty() {
            page.push_str(
                "<p>Then all layers were trained, each with its share of the learning rate:</p>\n",
            );
            let rates = self.rates.iter().rev();
            table(page, rates.map(|rate| (rate.layers, significant(rate.lr))));
        }
    }

    fn epochs(&self, page: &mut String) {
        if self.epochs.is_empty() {
            return;
        }
        page.push_str(
            "<h2>Epochs</h2>\n<div class=\"card scroll\"><table class=\"numbers\">\n<thead><tr><th>epoch</th>\
             <th>training loss</th><th>validation loss</th><th>gap</th><th>training accuracy</th>\
             <th>validation accuracy</th><th>final lr</th><th>momentum</th><th>time</th>\
             <th>images/s</th></tr></thead>\n<tbody>\n",
        );
        let best = self.best().map(|record| record.epoch);
        for record in self.epochs {
            let class = if best == Some(record.epoch) {
                " class=\"best\""
            } else {
                ""
            };
            let cells = [
                (record.epoch + 1).to_string(),
                significant(record.train_loss),
                significant(record.val_loss),
                significant(record.generalisation_gap),
                percent(record.train_accuracy),
                percent(record.val_accuracy),
                significant(record.lr),
                record.momentum.map_or_else(|| "–".to_owned(), significant),
                duration(record.seconds),
                significant(record.images_per_second),
            ];
            let _ = writeln!(page, "<tr{class}><td>{}</td></tr>", cells.join("</td><td>"));
        }
        page.push_str(
            "</tbody></table></div>\n<p class=\"soft\">The best validation accuracy is marked; \
             epochs.jsonl counts epochs from 0. Gap: validation loss minus training loss. Exact values: \
             <a href=\"epochs.jsonl\">epochs.jsonl</a>, <a href=\"steps.jsonl\">steps.jsonl</a>.</p>\n",
        );
    }

    fn summary(&self, page: &mut String) {
        if !self.summary.is_empty() {
            page.push_str("<h2>Run</h2>\n");
            table(
                page,
                self.summary
                    .iter()
                    .map(|(name, value)| (*name, escape(value))),
            );
        }
    }

    /// The configuration, one row per key; unchanged if it is not TOML.
    fn configuration(&self, page: &mut String) {
        page.push_str("<h2>Configuration</h2>\n");
        if let Ok(config) = self.config.parse::<toml::Table>() {
            let mut rows = Vec::new();
            flatten("", &config, &mut rows);
            table(
                page,
                rows.iter().map(|(key, value)| {
                    let value = escape(&value.to_string());
                    (key.as_str(), format!("<code>{value}</code>"))
                }),
            );
            page.push_str("<details><summary>The same as TOML</summary>\n");
            let _ = writeln!(
                page,
                "<pre><code>{}</code></pre></details>",
                escape(self.config)
            );
        } else {
            let _ = writeln!(page, "<pre><code>{}</code></pre>", escape(self.config));
        }
    }

    /// Images per class and part, and what is not used.
    fn images(&self, page: &mut String) {
        let Some(images) = self.images else {
            return;
        };
        page.push_str(
            "<h2>Data</h2>\n<div class=\"card scroll\"><table class=\"numbers\">\n<thead><tr>",
        );
        for head in images.heads() {
            let _ = write!(page, "<th>{head}</th>");
        }
        page.push_str("</tr></thead>\n<tbody>\n");
        for row in images.rows() {
            let cells: Vec<String> = row.iter().map(|cell| escape(cell)).collect();
            let _ = writeln!(page, "<tr><td>{}</td></tr>", cells.join("</td><td>"));
        }
        page.push_str("</tbody></table></div>\n");
        for remark in images.remarks() {
            let _ = writeln!(page, "<p class=\"soft\">{}</p>", escape(&remark));
        }
        if !images.skipped.is_empty() {
            page.push_str("<details><summary>Files that are not used</summary>\n<pre>");
            for skipped in &images.skipped {
                let _ = writeln!(
                    page,
                    "{}: {}",
                    escape(&skipped.file),
                    escape(&skipped.reason)
                );
            }
            page.push_str("</pre></details>\n");
        }
    }

    fn data(&self, page: &mut String) {
        if self.data.is_empty() {
            return;
        }
        page.push_str(
            "<h2>Checksums</h2>\n<div class=\"card scroll\"><table>\n\
             <thead><tr><th>file</th><th>SHA-256</th></tr></thead>\n<tbody>\n",
        );
        for file in self.data {
            let _ = writeln!(
                page,
                "<tr><th>{}</th><td><code>{}</code></td></tr>",
                escape(&file.name),
                escape(&file.sha256),
            );
        }
        page.push_str("</tbody></table></div>\n");
    }

    fn reproduce(&self, page: &mut String) {
        let _ = writeln!(
            page,
            "<h2>How to reproduce</h2>\n<pre><code>{}</code></pre>\n<p class=\"soft\">\
             <a href=\"run.toml\">run.toml</a> beside this page has the complete configuration, the seed and the \
             checksums of the data.</p>",
            escape(self.command),
        );
    }
}

/// A table of names and values. The values are HTML.
fn table<'a>(page: &mut String, rows: impl Iterator<Item = (&'a str, String)>) {
    page.push_str("<div class=\"card scroll\"><table class=\"pairs\">\n<tbody>\n");
    for (name, value) in rows {
        let _ = writeln!(page, "<tr><th>{}</th><td>{value}</td></tr>", escape(name));
    }
    page.push_str("</tbody></table></div>\n");
}
