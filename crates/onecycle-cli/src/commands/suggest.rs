use std::process::ExitCode;

use crate::{
    args::Format,
    output::{self, AnyError},
};
use onecycle_train::lr_search::suggest::{self, Suggestions};

use clap::Args as ClapArgs;
use std::path::PathBuf;

#[derive(Debug, ClapArgs)]
pub(crate) struct Suggest {
    /// CSV with columns lr and loss, or JSON with two such lists
    pub(crate) curve: PathBuf,
    /// text, or json for programs
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

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
