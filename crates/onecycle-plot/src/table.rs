//! Tables as aligned text.

/// Joins cells to lines. The first column is aligned left, the others right.
///
/// Every row must have as many cells as the first one. Each line ends with a line feed.
#[must_use]
pub fn align(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let length = |cell: &String| cell.chars().count();
    let widths: Vec<usize> = (0..columns)
        .map(|c| rows.iter().map(|row| length(&row[c])).max().unwrap_or(0))
        .collect();
    let mut out = String::new();
    for row in rows {
        for (c, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let room = " ".repeat(width - length(cell));
            match c {
                0 => out.extend([cell.as_str(), &room]),
                _ => out.extend(["   ", &room, cell.as_str()]),
            }
        }
        out.truncate(out.trim_end_matches(' ').len());
        out.push('\n');
    }
    out
}
