//! Contents of files without times.

use std::{fs, path::Path};

use onecycle_train::checkpoint::{Checkpoint, CheckpointKind};
use serde_json::Value;
use tempfile::TempDir;

/// JSON keys of times and speeds, and of the run folder, whose name differs between studies.
const KEYS: [&str; 6] = [
    "seconds",
    "images_per_second",
    "train_seconds",
    "search_seconds",
    "cost",
    "run",
];

/// The bytes of a file of a run or study, with times removed.
pub(super) fn file(path: &Path) -> Vec<u8> {
    let bytes = fs::read(path).unwrap();
    let text = || String::from_utf8(bytes.clone()).unwrap();
    match path.file_name().and_then(|name| name.to_str()).unwrap() {
        "summary.json" | "range_test.json" | "compare.json" | "result.json" | "reproduce.json" => {
            document(&text()).into_bytes()
        }
        _ if path
            .parent()
            .is_some_and(|folder| folder.ends_with("range_tests")) =>
        {
            document(&text()).into_bytes()
        }
        "epochs.jsonl" => {
            let lines: Vec<String> = text().lines().map(document).collect();
            lines.join("\n").into_bytes()
        }
        name if name.ends_with(".html") => page(&text()).into_bytes(),
        name if name.ends_with(".ckpt") => checkpoint(path),
        _ => bytes,
    }
}

/// A JSON document without its times. Asserts that it has some.
fn document(text: &str) -> String {
    let whole: Value = serde_json::from_str(text).unwrap();
    let timeless = json(whole.clone());
    assert_ne!(timeless, whole, "the document has no times");
    timeless.to_string()
}

/// A JSON value without times and speeds.
pub(crate) fn json(mut value: Value) -> Value {
    match &mut value {
        Value::Object(object) => {
            object.retain(|key, _| !KEYS.contains(&key.as_str()));
            object
                .values_mut()
                .for_each(|value| *value = json(value.take()));
        }
        Value::Array(list) => list
            .iter_mut()
            .for_each(|value| *value = json(value.take())),
        _ => {}
    }
    value
}

fn checkpoint(path: &Path) -> Vec<u8> {
    let mut checkpoint = Checkpoint::read(path).unwrap();
    checkpoint.progress.seconds = 0.0;
    let aside = TempDir::new().unwrap();
    fs::read(
        checkpoint
            .save(aside.path(), CheckpointKind::Regular)
            .unwrap(),
    )
    .unwrap()
}

/// A page without the training time and without the columns of times and speeds.
fn page(html: &str) -> String {
    let mut page = html.to_owned();
    if let Some((before, card)) = html.split_once("<dt>Training time</dt>") {
        let (_, after) = card.split_once("</dd>").unwrap();
        page = [before, after].concat();
    }
    let mut parts = page.split("<table");
    let mut text = parts.next().unwrap().to_owned();
    let mut taken_out = 0;
    for part in parts {
        let (table, after) = part.split_once("</table>").unwrap();
        let table = table.replace("<th>", "<td>");
        let mut rows = table.split("</tr>").map(|row| row.split("<td>"));
        let of_time = |cell: &str| cell.starts_with("time") || cell.starts_with("images/s");
        let header = rows.next().unwrap();
        let kept: Vec<bool> = header.map(|cell| !of_time(cell)).collect();
        taken_out += kept.iter().filter(|kept| !**kept).count();
        for row in rows {
            let cells = row.zip(&kept).filter(|(_, kept)| **kept);
            text.extend(cells.map(|(cell, _)| cell));
        }
        text.push_str(after);
    }
    assert!(taken_out > 0, "the page has no times");
    text
}
