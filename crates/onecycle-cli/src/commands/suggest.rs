use std::process::ExitCode;

use crate::{
    args::{Format, Suggest},
    output::{self, AnyError},
};
use onecycle_train::lr_search::suggest::{self, Suggestions};

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
