//! `onecycle suggest`: learning rates suggested by every rule for a recorded range test.

use std::{path::PathBuf, process::ExitCode};

use clap::Args as ClapArgs;
use onecycle_train::lr_search::suggest::{self, Suggestions};

use crate::{
    args::Format,
    output::{self, AnyError},
};

/// Arguments of `onecycle suggest`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Suggest {
    /// CSV file with the columns lr and loss, or JSON file with two lists of these names
    pub(crate) curve: PathBuf,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

/// Applies all rules and prints their suggestions.
pub(crate) fn run(args: &Suggest) -> Result<ExitCode, AnyError> {
    let suggestions = Suggestions::of(&suggest::read_curve(&args.curve)?);
    match args.format {
        Format::Json => output::json(&suggestions)?,
        Format::Text => {
            output::text(&suggestions.table())?;
            output::text(&format!(
                "{}: {}",
                suggestions.verdict,
                suggestions.verdict.advice()
            ))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
