//! `onecycle recipes`: the built-in configurations.

use std::process::ExitCode;

use clap::Args as ClapArgs;
use onecycle_train::recipe::{self, RECIPES};
use serde::Serialize;

use crate::{
    args::Format,
    output::{self, AnyError},
};

/// Arguments of `onecycle recipes`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Recipes {
    /// Print this recipe as a configuration file, for `--config`
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Output format of the list
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

/// A recipe in the JSON list.
#[derive(Serialize)]
struct Line {
    name: &'static str,
    summary: &'static str,
}

/// Lists the recipes, or prints one.
pub(crate) fn run(args: &Recipes) -> Result<ExitCode, AnyError> {
    match (&args.name, args.format) {
        (Some(name), _) => output::text(recipe::find(name)?.toml.trim_end())?,
        (None, Format::Json) => output::json(&RECIPES.map(|recipe| Line {
            name: recipe.name,
            summary: recipe.summary,
        }))?,
        (None, Format::Text) => {
            let width = RECIPES.iter().map(|recipe| recipe.name.len()).max();
            let width = width.unwrap_or(0);
            for recipe in RECIPES {
                output::text(&format!("{:<width$}  {}", recipe.name, recipe.summary))?;
            }
            output::text(
                "\nTrain one with `onecycle train --recipe NAME`; print its settings with \
                 `onecycle recipes NAME`.",
            )?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
