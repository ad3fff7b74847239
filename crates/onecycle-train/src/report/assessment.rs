//! The sections of a report on an [`Assessment`]: confusion matrix, classes, calibration, and the
//! images with the highest loss.

use std::{fmt::Write as _, fs, path::Path};

use onecycle_plot::{
    escape_xml as escape,
    format::{percent, significant},
};

use super::{Page, base64};
use crate::{
    TrainError,
    assessment::{Assessment, WorstImage},
    figures::CaptionedFigure,
};

/// Largest number of classes whose confusion matrix has numbers in its cells.
const NUMBERED: usize = 30;
/// Largest number of classes whose confusion matrix is drawn. A larger one would be a page of
/// several megabytes that nobody can read.
const DRAWN: usize = 120;
/// Number of listed pairs of confused classes.
const PAIRS: usize = 10;
/// Side in pixels below which a picture is enlarged without smoothing.
const SMALL: u32 = 64;
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

/// An assessment with its figure and the folder of its pictures.
#[derive(Clone, Copy, Debug)]
pub struct AssessmentSection<'a> {
    /// The measurements.
    pub assessment: &'a Assessment,
    /// The reliability diagram. Its files are in the folder `figures` beside the page.
    pub reliability: &'a CaptionedFigure,
    /// Folder of the pictures of the worst images. They are embedded in the page.
    pub pictures: &'a Path,
}

impl AssessmentSection<'_> {
    /// Appends the sections.
    pub(super) fn write(&self, page: &mut Page) -> Result<(), TrainError> {
        self.matrix(page);
        self.confusions(page);
        self.classes(page);
        self.calibration(page)?;
        self.worst(page.html());
        Ok(())
    }

    fn matrix(&self, page: &mut Page) {
        let Assessment {
            classes,
            confusion,
            measured_on,
            images,
            scores,
            ..
        } = self.assessment;
        page.heading("confusion-matrix", "Confusion matrix");
        if scores.is_imbalanced() {
            page.paragraph(
                "warning",
                &format!(
                    "The largest class has {} times the images of the smallest, so the accuracy of {} mostly \
                     describes the large classes. The balanced accuracy, in which all classes count the same, is {}.",
                    significant(scores.imbalance),
                    percent(scores.accuracy),
                    percent(scores.balanced_accuracy),
                ),
            );
        }
        let csv = "Numbers: <a href=\"assessment/confusion.csv\">CSV</a>.";
        let on = escape(measured_on);
        if classes.len() > DRAWN {
            let _ = writeln!(
                page.html(),
                "<p class=\"soft\">The matrix of {} classes is too large to show. {csv}</p>",
                classes.len()
            );
            return;
        }
        let dense = classes.len() > NUMBERED;
        let style = if dense { "matrix dense" } else { "matrix" };
        let html = page.html();
        let _ = write!(
            html,
            "<div class=\"card scroll tall\"><table class=\"{style}\">\n<thead><tr><th>true ╲ predicted</th>"
        );
        for class in classes {
            let name = escape(&class.class);
            let _ = write!(html, "<th title=\"{name}\"><span>{name}</span></th>");
        }
        html.push_str("</tr></thead>\n<tbody>\n");
        for (truth, row) in confusion.iter().enumerate() {
            let name = escape(&classes[truth].class);
            let of = classes[truth].score.images;
            let _ = write!(html, "<tr><th title=\"{name}\">{name}</th>");
            for (prediction, &count) in row.iter().enumerate() {
                let other = escape(&classes[prediction].class);
                let title = format!("{name} → {other}");
                cell(html, count, of, truth == prediction, (&title, dense));
            }
            html.push_str("</tr>\n");
        }
        let _ = writeln!(
            html,
            "</tbody></table></div>\n<p class=\"soft\">Measured once with the final network on the {images} {on}. \
             Rows: true class; columns: predicted class. Blue: correct, orange: wrong. The stronger the colour, the \
             larger the share of the row; errors are drawn stronger than correct predictions so that rare ones can be \
             seen. {csv}</p>"
        );
    }

    /// The pairs of classes that are confused most often.
    fn confusions(&self, page: &mut Page) {
        let classes = &self.assessment.classes;
        let pairs = self.assessment.confusions();
        if pairs.is_empty() {
            return;
        }
        let rows: Vec<Vec<String>> = pairs
            .iter()
            .take(PAIRS)
            .map(|pair| {
                let of = &classes[pair.truth];
                vec![
                    of.class.clone(),
                    classes[pair.prediction].class.clone(),
                    pair.images.to_string(),
                    percent(pair.images as f64 / of.score.images as f64),
                ]
            })
            .collect();
        page.heading("confusions", "Most frequent confusions");
        page.table(
            &[
                "true class",
                "predicted",
                "images",
                "share of the true class",
            ],
            &rows,
        );
    }

    fn classes(&self, page: &mut Page) {
        let Assessment {
            classes, scores, ..
        } = self.assessment;
        page.heading("classes", "Classes");
        let share = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), percent);
        let html = page.html();
        html.push_str(
            "<div class=\"card scroll\"><table class=\"numbers named\">\n<thead><tr><th>class</th>\
             <th>images</th><th>predicted</th><th>precision</th><th>recall</th><th>F1</th>\
             <th>most often taken for</th></tr></thead>\n<tbody>\n",
        );
        for (index, class) in classes.iter().enumerate() {
            let score = &class.score;
            let taken = self.assessment.taken_for(index);
            let taken = taken.map_or_else(String::new, |pair| {
                let share = percent(pair.images as f64 / score.images as f64);
                format!("{} ({share})", escape(&classes[pair.prediction].class))
            });
            let _ = writeln!(
                html,
                "<tr><th>{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{taken}</td></tr>",
                escape(&class.class),
                score.images,
                score.predicted,
                share(score.precision),
                share(score.recall),
                share(score.f1),
            );
        }
        let _ = writeln!(
            html,
            "</tbody></table></div>\n<p class=\"soft\">Accuracy {}, balanced accuracy (mean recall) {}, macro F1 (mean \
             F1) {}. Precision: share of the predictions of a class that are correct. Recall: share of the images of a \
             class that are classified correctly. F1: their harmonic mean. A dash marks a ratio without images or \
             without predictions. Exact values: <a href=\"assessment/classes.csv\">CSV</a>.</p>",
            percent(scores.accuracy),
            percent(scores.balanced_accuracy),
            percent(scores.macro_f1),
        );
    }

    fn calibration(&self, page: &mut Page) -> Result<(), TrainError> {
        page.heading("calibration", "Calibration");
        let error = self.assessment.scores.calibration_error;
        let error = error.map_or_else(|| "not finite".to_owned(), percent);
        page.paragraph("", &format!("Expected calibration error: {error}."));
        let CaptionedFigure { figure, caption } = self.reliability;
        page.figures("figures", [(figure, *caption)])
    }

    fn worst(&self, page: &mut String) {
        let worst = &self.assessment.worst;
        if worst.is_empty() {
            return;
        }
        page.push_str(
            "<h2 id=\"worst\">Images with the highest loss</h2>\n<div class=\"gallery\">\n",
        );
        for image in worst {
            self.thumbnail(page, image);
        }
        page.push_str(
            "</div>\n<p class=\"soft\">Above: true class. Below: predicted class with its probability, loss, and file \
             or position in the data set. Look for wrong labels, images of several classes, and damaged files. \
             <a href=\"assessment/worst.csv\">CSV</a>.</p>\n",
        );
    }

    fn thumbnail(&self, page: &mut String, image: &WorstImage) {
        let from = match &image.file {
            Some(file) => escape(file),
            None => format!("image {}", image.index),
        };
        let correct = image.prediction.as_ref() == Some(&image.class);
        let predicted = match (&image.prediction, correct) {
            (None, _) => "no prediction".to_owned(),
            (Some(_), true) => "correct".to_owned(),
            (Some(class), false) => escape(class),
        };
        // The number and its sign stay on one line.
        let probability = image
            .probability
            .map(|share| percent(share).replace(' ', "\u{a0}"));
        let probability = probability.unwrap_or_default();
        let picture = self
            .picture(image)
            .map_or_else(String::new, |picture| embedded(&picture, &from));
        let _ = writeln!(
            page,
            "<div class=\"card\">{picture}<p><strong>{}</strong><span class=\"{}\">{predicted} \
             {probability}</span>loss {}<small>{from}</small></p></div>",
            escape(&image.class),
            if correct { "right" } else { "wrong" },
            significant(image.loss),
        );
    }

    /// The PNG of an image; `None` if the run has no picture of it.
    fn picture(&self, image: &WorstImage) -> Option<Vec<u8>> {
        // Only a file in that folder, whatever the record says.
        let name = Path::new(image.picture.as_deref()?).file_name()?;
        let bytes = fs::read(self.pictures.join(name)).ok()?;
        bytes.starts_with(PNG).then_some(bytes)
    }
}

/// A cell of the confusion matrix: `count` of the `of` images of its row. `title` explains it; a
/// dense matrix has no numbers.
fn cell(html: &mut String, count: u64, of: u64, correct: bool, (title, dense): (&str, bool)) {
    if count == 0 {
        html.push_str("<td></td>");
        return;
    }
    let share = count as f64 / of as f64;
    let (class, strength) = match correct {
        true => ("yes", share),
        false => ("no", share.sqrt()),
    };
    let strong = if strength > 0.6 { " strong" } else { "" };
    let number = if dense {
        String::new()
    } else {
        count.to_string()
    };
    let _ = write!(
        html,
        "<td class=\"{class}{strong}\" style=\"--s:{:.2}\" title=\"{title}: {count} ({})\">{number}</td>",
        strength.clamp(0.06, 1.0),
        percent(share),
    );
}

/// An `img` element that contains a PNG. `alt` is HTML.
fn embedded(png: &[u8], alt: &str) -> String {
    // Bytes 16 to 24 of a PNG are its width and height.
    let side = |at: usize| {
        png.get(at..at + 4).map_or(0, |bytes| {
            bytes
                .iter()
                .fold(0_u32, |side, byte| side << 8 | u32::from(*byte))
        })
    };
    let small = side(16).max(side(20)) < SMALL;
    let class = if small { " class=\"small\"" } else { "" };
    format!(
        "<img{class} alt=\"{alt}\" src=\"data:image/png;base64,{}\">",
        base64::encode(png)
    )
}
