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
