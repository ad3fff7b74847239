//! Labels in a table: a CSV file with the name and the label of each image.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::DataError;

/// A table of labels: a CSV file with a header.
///
/// The file names are in the column `file` (or `filename`, `image`, `path`, `id`), the labels in
/// the column `label` (or `class`, `category`, `target`); otherwise in the first two columns. Names
/// are relative to the folder of images, to the folder of the table, or unique file names anywhere
/// in the folder of images, with or without extension. Columns are separated by commas, semicolons
/// or tabs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LabelFile {
    /// The CSV file.
    pub path: PathBuf,
}

/// A line of the table.
pub(super) struct Row {
    /// The name as written.
    pub(super) file: String,
    pub(super) label: String,
    /// The file; `None` if no file has this name.
    pub(super) path: Option<PathBuf>,
    /// Line in the table, counted from 1.
    pub(super) line: u64,
}

const FILE_COLUMNS: [&str; 8] = [
    "file",
    "filename",
    "file_name",
    "image",
    "path",
    "image_path",
    "id",
    "image_id",
];
const LABEL_COLUMNS: [&str; 6] = [
    "label",
    "class",
    "category",
    "target",
    "labels",
    "class_name",
];

/// Reads the table and finds its files below `root`.
pub(super) fn read(table: &LabelFile, root: &Path) -> Result<Vec<Row>, DataError> {
    let path = &table.path;
    let wrong = |reason: String| DataError::Labels {
        path: path.clone(),
        reason,
    };
    let text = fs::read_to_string(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::InvalidData => wrong("it is not text in UTF-8".to_owned()),
        std::io::ErrorKind::NotFound => DataError::Missing {
            path: path.clone(),
            expected: "a CSV file with the columns file and label".to_owned(),
        },
        _ => DataError::io(path, "read it", error),
    })?;
    let text = text.trim_start_matches('\u{feff}');
    let header = text.lines().next().unwrap_or_default();
    let delimiter = [b',', b';', b'\t']
        .into_iter()
        .max_by_key(|delimiter| header.bytes().filter(|byte| byte == delimiter).count())
        .unwrap_or(b',');
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let names = reader
        .headers()
        .map_err(|error| wrong(error.to_string()))?
        .clone();
    if names.len() < 2 {
        let found = names.iter().collect::<Vec<_>>().join(", ");
        return Err(wrong(format!("its only column is `{found}`")));
    }
    let column = |known: &[&str]| {
        names
            .iter()
            .position(|name| known.contains(&name.to_lowercase().as_str()))
    };
    let (file, label) = match (column(&FILE_COLUMNS), column(&LABEL_COLUMNS)) {
        (Some(file), Some(label)) => (file, label),
        (Some(file), None) => (file, usize::from(file == 0)),
        (None, Some(label)) => (usize::from(label == 0), label),
        (None, None) => (0, 1),
    };
    let mut finder = Finder::new(root, path);
    let mut rows: Vec<Row> = Vec::new();
    let mut lines: BTreeMap<PathBuf, usize> = BTreeMap::new();
    for record in reader.records() {
        let record = record.map_err(|error| wrong(error.to_string()))?;
        let line = record.position().map_or(0, |position| position.line());
        let (name, class) = (
            record.get(file).unwrap_or_default(),
            record.get(label).unwrap_or_default(),
        );
        if name.is_empty() || class.is_empty() {
            return Err(wrong(format!(
                "line {line} has no {}",
                if name.is_empty() { "file" } else { "label" }
            )));
        }
        let found = finder.find(name)?;
        if let Some(found) = &found
            && let Some(&earlier) = lines.get(found)
        {
            if rows[earlier].label != class {
                return Err(wrong(format!(
                    "lines {} and {line} give `{name}` the labels `{}` and `{class}`",
                    rows[earlier].line, rows[earlier].label
                )));
            }
            continue;
        }
        if let Some(found) = &found {
            lines.insert(found.clone(), rows.len());
        }
        rows.push(Row {
            file: name.to_owned(),
            label: class.to_owned(),
            path: found,
            line,
        });
    }
    match rows.is_empty() {
        true => Err(wrong("it has no line after its header".to_owned())),
        false => Ok(rows),
    }
}

/// Finds the files that a table names.
struct Finder<'a> {
    places: [&'a Path; 2],
    /// Files below the folder of images by name, with and without extension. A name that occurs
    /// twice has none. Built when it is first needed.
    by_name: Option<BTreeMap<String, Option<PathBuf>>>,
}

impl<'a> Finder<'a> {
    fn new(root: &'a Path, table: &'a Path) -> Self {
        Finder {
            places: [root, table.parent().unwrap_or(root)],
            by_name: None,
        }
    }

    fn find(&mut self, name: &str) -> Result<Option<PathBuf>, DataError> {
        let name = name.replace('\\', "/");
        let direct = self.places.iter().map(|place| place.join(&name));
        if let Some(path) = direct.into_iter().find(|path| path.is_file()) {
            return Ok(path.canonicalize().ok());
        }
        if self.by_name.is_none() {
            let mut names = BTreeMap::new();
            collect(self.places[0], &mut names, 0)?;
            self.by_name = Some(names);
        }
        let last = name.rsplit('/').next().unwrap_or(&name);
        let known = self.by_name.as_ref().and_then(|names| names.get(last));
        Ok(known.cloned().flatten())
    }
}

/// Deepest folder that is searched for a file name.
const DEEPEST: usize = 16;

fn collect(
    folder: &Path,
    names: &mut BTreeMap<String, Option<PathBuf>>,
    depth: usize,
) -> Result<(), DataError> {
    let failed = |error| DataError::io(folder, "list the folder", error);
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() {
            if depth < DEEPEST {
                collect(&path, names, depth + 1)?;
            }
            continue;
        }
        for name in [path.file_name(), path.file_stem()].into_iter().flatten() {
            let found = path.canonicalize().ok();
            names
                .entry(name.to_string_lossy().into_owned())
                .and_modify(|known| {
                    if *known != found {
                        *known = None;
                    }
                })
                .or_insert(found);
        }
    }
    Ok(())
}
