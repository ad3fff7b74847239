//! `onecycle suggest`: learning rates suggested by every rule for a recorded range test.

use std::{
    io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args as ClapArgs;
use onecycle_train::lr_search::{curve_file, suggest::Suggestions};

use crate::{
    args::Format,
    output::{self, AnyError},
};

/// Arguments of `onecycle suggest`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Suggest {
    /// A recorded curve: CSV with the columns lr and loss, JSON with two lists of these names, JSON
    /// lines, or a range_test.json; `-` for standard input
    pub(crate) curve: PathBuf,
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

/// Applies all rules and prints their suggestions.
pub(crate) fn run(args: &Suggest) -> Result<ExitCode, AnyError> {
    let curve = match args.curve.as_os_str() == "-" {
        true => {
            let text = io::read_to_string(io::stdin())?;
            curve_file::parse_curve(&text, Path::new("standard input"))?
        }
        false => curve_file::read_curve(&args.curve)?,
    };
    let suggestions = Suggestions::of(&curve);
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
