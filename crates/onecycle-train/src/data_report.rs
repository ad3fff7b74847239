//! The images of a run, for people and programs: `data.json`, a table, a section of the report.

use std::collections::{BTreeMap, BTreeSet};

use onecycle_vision::{
    Loader, TestOrigin,
    folder::{Contents, PartName, Skipped},
};
use serde::{Deserialize, Serialize};

use crate::experiment::Data;

/// The images that a run trains and measures on: `data.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataReport {
    /// Name of the data set.
    pub name: String,
    /// Images of each class in each part.
    pub parts: BTreeMap<PartName, BTreeMap<String, usize>>,
    /// Files of each format, for a folder of images.
    pub formats: BTreeMap<String, usize>,
    /// Smallest, median and largest width of the files in pixels, for a folder of images.
    pub widths: Option<[u32; 3]>,
    /// Smallest, median and largest height.
    pub heights: Option<[u32; 3]>,
    /// Files that are not used.
    pub skipped: Vec<Skipped>,
    /// Number of files that are exact copies of another one.
    pub duplicates: usize,
    /// The copies, each with the file it equals.
    pub duplicate_files: Vec<[String; 2]>,
}

impl DataReport {
    /// Describes the data of an experiment.
    pub fn new(data: &Data) -> Self {
        let measured = match (data.validation_is, data.test_origin) {
            ("test", TestOrigin::Test) => vec![(PartName::Test, &data.test)],
            ("test", _) => vec![(PartName::Validation, &data.test)],
            _ => vec![
                (PartName::Validation, &data.validation),
                (PartName::Test, &data.test),
            ],
        };
        let counts = |loader: &Loader| {
            let counts = loader.split().class_counts(data.classes.len());
            data.classes.iter().cloned().zip(counts).collect()
        };
        let contents = data.contents.clone().unwrap_or_default();
        let Contents {
            formats,
            widths,
            heights,
            skipped,
            duplicates,
            ..
        } = contents;
        DataReport {
            name: data.name.clone(),
            parts: [(PartName::Train, &data.train)]
                .into_iter()
                .chain(measured)
                .map(|(part, loader)| (part, counts(loader)))
                .collect(),
            formats,
            widths,
            heights,
            skipped,
            duplicates: duplicates.len(),
            duplicate_files: duplicates,
        }
    }

    /// The heads of the columns of [`rows`](Self::rows).
    pub(crate) fn heads(&self) -> Vec<&'static str> {
        // Without images for validation, the test images are measured after each epoch.
        let has_validation = self.parts.contains_key(&PartName::Validation);
        let head = |part: &PartName| match part {
            PartName::Train => "training",
            PartName::Validation => "validation",
            PartName::Test if has_validation => "test",
            PartName::Test => "test (also validation)",
        };
        ["class"]
            .into_iter()
            .chain(self.parts.keys().map(head))
            .collect()
    }

    /// One row per class, and the sum: its name, then the number of images in each part.
    pub(crate) fn rows(&self) -> Vec<Vec<String>> {
        let classes: BTreeSet<&String> = self.parts.values().flat_map(BTreeMap::keys).collect();
        let count = |part: &BTreeMap<String, usize>, class: &String| {
            part.get(class).copied().unwrap_or(0).to_string()
        };
        let mut rows: Vec<Vec<String>> = classes
            .into_iter()
            .map(|class| {
                let counts = self.parts.values().map(|part| count(part, class));
                [class.clone()].into_iter().chain(counts).collect()
            })
            .collect();
        let sums = self
            .parts
            .values()
            .map(|part| part.values().sum::<usize>().to_string());
        rows.push(["all".to_owned()].into_iter().chain(sums).collect());
        rows
    }

    /// Formats and sizes of the files, what is not used and why, and exact copies.
    pub(crate) fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        if let (Some(widths), Some(heights)) = (self.widths, self.heights) {
            let formats: Vec<String> = self
                .formats
                .iter()
                .map(|(format, count)| format!("{count} {format}"))
                .collect();
            let sides = |[least, median, most]: [u32; 3]| match least == most {
                true => median.to_string(),
                false => format!("{least} to {most} (median {median})"),
            };
            remarks.push(format!(
                "files: {}; width {}, height {} pixels",
                formats.join(", "),
                sides(widths),
                sides(heights)
            ));
        }
        let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for Skipped { file, reason } in &self.skipped {
            reasons.entry(reason).or_default().push(file);
        }
        for (reason, files) in reasons {
            let first = files.first().copied().unwrap_or_default();
            let text = match files.len() {
                1 => format!("not used: {first}: {reason}"),
                n => format!("not used: {n} files such as {first}: {reason}"),
            };
            remarks.push(text);
        }
        match self.duplicates {
            0 => {}
            1 => remarks.push("1 file is an exact copy of another".to_owned()),
            n => remarks.push(format!("{n} files are exact copies of others")),
        }
        remarks
    }

    /// The number of images per class and part as a table for the terminal, with remarks. Of many
    /// classes, the first ones.
    pub fn table(&self) -> String {
        const SHOWN: usize = 20;
        let mut rows = self.rows();
        let hidden = (rows.len() - 1).saturating_sub(SHOWN);
        if hidden > 0 {
            rows.splice(SHOWN..SHOWN + hidden, [vec![format!(".. {hidden} more")]]);
        }
        let heads = self.heads();
        let wide = |rows: &[Vec<String>]| rows.iter().map(|row| row[0].chars().count()).max();
        let width = wide(&rows).unwrap_or(0).max(heads[0].len());
        let line = |cells: &[String]| {
            let name = cells.first().map_or("", String::as_str);
            let mut line = format!("{name}{}", " ".repeat(width - name.chars().count()));
            for (cell, head) in cells[1..].iter().zip(&heads[1..]) {
                line += &format!("  {cell:>0$}", head.len().max(6));
            }
            line
        };
        let heads: Vec<String> = heads.iter().map(|head| (*head).to_owned()).collect();
        let mut lines = vec![line(&heads)];
        lines.extend(rows.iter().map(|row| line(row)));
        lines.extend(self.remarks());
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_names_classes_sums_and_what_is_not_used() {
        let part = |cat, dog| BTreeMap::from([("cat".to_owned(), cat), ("dog".to_owned(), dog)]);
        let skipped = |file: &str| Skipped {
            file: file.to_owned(),
            reason: "not an image".to_owned(),
        };
        let report = DataReport {
            name: "pets".to_owned(),
            parts: BTreeMap::from([
                (PartName::Train, part(30, 40)),
                (PartName::Validation, part(3, 4)),
            ]),
            formats: BTreeMap::from([("JPEG".to_owned(), 77)]),
            widths: Some([100, 200, 300]),
            heights: Some([50, 50, 50]),
            skipped: vec![skipped("a.txt"), skipped("b.txt")],
            duplicates: 1,
            duplicate_files: Vec::new(),
        };
        let expected = "\
class  training  validation
cat          30           3
dog          40           4
all          70           7
files: 77 JPEG; width 100 to 300 (median 200), height 50 pixels
not used: 2 files such as a.txt: not an image
1 file is an exact copy of another";
        assert_eq!(report.table(), expected);
    }
}
