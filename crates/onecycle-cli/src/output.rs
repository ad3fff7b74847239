//! Text and JSON to standard output.

use std::{
    error::Error,
    io::{self, Write},
};

use serde::Serialize;

/// Any error of a command: the message is all that reaches a user.
pub(crate) type AnyError = Box<dyn Error + Send + Sync>;

/// Writes text to standard output.
pub(crate) fn text(text: &str) -> Result<(), AnyError> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    if !text.ends_with('\n') {
        out.write_all(b"\n")?;
    }
    Ok(out.flush()?)
}

/// Writes a line to standard error. Nobody can be told that nobody reads there.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Text with its line breaks and other control characters escaped: a name in a message, of a file or a key, may have
/// such, and must neither break the line nor steer the terminal.
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

/// Whether an error says that nobody reads on (`onecycle plan | head`).
pub(crate) fn is_closed_pipe(error: &(dyn Error + Send + Sync + 'static)) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::one_line;

    #[test]
    fn a_message_is_one_line_whatever_it_names() {
        let text = "unknown key `a\nb\u{1b}[2J`: ä ≥ 1";
        assert_eq!(one_line(text), "unknown key `a\\nb\\u{1b}[2J`: ä ≥ 1");
    }
}
