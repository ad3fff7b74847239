//! Text and JSON on standard output, messages on standard error.

use std::{
    error::Error,
    io::{self, Write},
};

use serde::Serialize;

use crate::screen;

/// Any error of a command. Only its message is shown.
pub(crate) type AnyError = Box<dyn Error + Send + Sync>;

/// Columns of a plot if the terminal has no known width.
const DEFAULT_WIDTH: usize = 80;
/// Most columns of a plot; wider plots are hard to read.
const MAX_WIDTH: usize = 120;

/// Writes text to standard output.
pub(crate) fn text(text: &str) -> Result<(), AnyError> {
    screen::above(|| {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        if !text.ends_with('\n') {
            out.write_all(b"\n")?;
        }
        Ok(out.flush()?)
    })
}

/// Writes a line to standard error. Write errors are ignored: there is nowhere left to report them.
pub(crate) fn note(text: &str) {
    let _ = screen::above(|| writeln!(io::stderr().lock(), "{text}"));
}

/// Columns of a plot for the terminal.
pub(crate) fn plot_width() -> usize {
    let width = terminal_size::terminal_size().map_or(DEFAULT_WIDTH, |(width, _)| width.0.into());
    width.min(MAX_WIDTH)
}

/// Escapes line breaks and other control characters. File names and keys in a message may contain
/// them, and must neither break the line nor control the terminal.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().fold(String::new(), |mut line, c| {
        match c.is_control() {
            true => line.extend(c.escape_default()),
            false => line.push(c),
        }
        line
    })
}

/// Writes a value as indented JSON to standard output.
pub(crate) fn json(value: &impl Serialize) -> Result<(), AnyError> {
    text(&serde_json::to_string_pretty(value)?)
}

/// Whether the reader of standard output closed the pipe (`onecycle plan | head`).
pub(crate) fn is_closed_pipe(error: &(dyn Error + Send + Sync + 'static)) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::one_line;

    #[test]
    fn control_characters_are_escaped() {
        let text = "unknown key `a\nb\u{1b}[2J`: ä ≥ 1";
        assert_eq!(one_line(text), "unknown key `a\\nb\\u{1b}[2J`: ä ≥ 1");
    }
}
