//! A block of lines at the bottom of the terminal that is drawn again and again.
//!
//! The terminal is global, and so is the block: [`crate::output`] hides it while it writes, so that
//! messages of any thread appear above it. Neither `indicatif` nor an inline viewport of `ratatui`
//! finds the first line of its block again after the terminal has become narrower, because
//! terminals break the lines that are already drawn. Here every line is narrower than the terminal,
//! and the block remembers its widths, so it knows how many rows it covers now.

use std::{
    io::{self, Write},
    sync::{Mutex, MutexGuard, PoisonError},
};

use terminal_size::terminal_size_of;

/// The block of this process.
static BLOCK: Mutex<Block> = Mutex::new(Block::empty());

/// Lines on the terminal.
#[derive(Debug)]
struct Block {
    /// The drawn lines with their widths in columns. Empty if nothing is drawn.
    lines: Vec<(String, usize)>,
}

/// Columns and rows of the terminal on standard error; 80 x 24 if it does not say.
pub(crate) fn size() -> (usize, usize) {
    let size = terminal_size_of(io::stderr());
    let known = size.filter(|(width, height)| width.0 > 0 && height.0 > 0);
    known.map_or((80, 24), |(width, height)| {
        (width.0.into(), height.0.into())
    })
}

/// Draws the block in place of the one before. `lines` have their widths in columns, which must be
/// below that of the terminal.
pub(crate) fn draw(lines: Vec<(String, usize)>) {
    let mut block = block();
    let mut text = block.to_its_first_line();
    block.lines = lines;
    text.push_str(&block.text());
    show(&text);
}

/// Removes the block.
pub(crate) fn clear() {
    let mut block = block();
    if !block.lines.is_empty() {
        show(&block.to_its_first_line());
        block.lines.clear();
    }
}

/// Hides the block while `write` writes to the terminal.
pub(crate) fn above<R>(write: impl FnOnce() -> R) -> R {
    let block = block();
    if block.lines.is_empty() {
        return write();
    }
    show(&block.to_its_first_line());
    let result = write();
    show(&block.text());
    result
}

fn block() -> MutexGuard<'static, Block> {
    // A poisoned lock is fine: the value is always consistent.
    BLOCK.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes to the terminal at once, so that it never shows a half of it. Errors are ignored: there is
/// nowhere left to report them.
fn show(text: &str) {
    let mut terminal = io::stderr().lock();
    let _ = terminal.write_all(text.as_bytes());
    let _ = terminal.flush();
}

impl Block {
    const fn empty() -> Self {
        Block { lines: Vec::new() }
    }

    /// Control sequence that erases the block and moves to its first line. The cursor is on the line
    /// after the block.
    fn to_its_first_line(&self) -> String {
        match rows(self.lines.iter().map(|(_, width)| *width), size().0) {
            0 => String::new(),
            rows => erase(rows),
        }
    }

    /// The lines. The terminal cuts them meanwhile instead of breaking them: `tmux` may be narrower for
    /// a moment than it says. The block then covers as many rows as one that was broken after it was
    /// drawn, together with the rows that are left of it.
    fn text(&self) -> String {
        let lines: String = self
            .lines
            .iter()
            .map(|(line, _)| format!("{line}\n"))
            .collect();
        format!("\x1b[?7l{lines}\x1b[?7h")
    }
}

/// Erases this many rows above the cursor, and moves to the first of them. Row by row: `tmux` would copy
/// the screen to its history if it were erased at once.
fn erase(rows: usize) -> String {
    let each = "\x1b[2K\x1b[B".repeat(rows);
    format!("\r\x1b[{rows}A{each}\x1b[2K\x1b[{rows}A")
}

/// Rows of lines with these widths on a terminal of `columns` columns.
fn rows(widths: impl Iterator<Item = usize>, columns: usize) -> usize {
    widths
        .map(|width| width.div_ceil(columns.max(1)).max(1))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_cover_more_rows_on_a_narrower_terminal() {
        let lines = [79, 0, 40];
        let of = |columns| rows(lines.into_iter(), columns);
        assert_eq!([80, 79, 78, 40, 20].map(of), [3, 3, 4, 4, 7]);
        assert_eq!(rows([].into_iter(), 80), 0);
    }

    #[test]
    fn nothing_erases_the_whole_screen_at_once() {
        assert_eq!(
            erase(2),
            "\r\x1b[2A\x1b[2K\x1b[B\x1b[2K\x1b[B\x1b[2K\x1b[2A"
        );
    }
}
