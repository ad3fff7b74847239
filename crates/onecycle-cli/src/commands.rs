//! One module a command.

mod bench;
mod data;
mod find;
mod fit;
mod plan;
mod predict;
mod suggest;
mod train;

use std::process::ExitCode;

use crate::{
    args::{Args, Command},
    output::AnyError,
};

/// Runs the command that was asked for.
pub(crate) fn run(args: Args) -> Result<ExitCode, AnyError> {
    match args.command {
        Command::Plan(args) => plan::run(&args),
        Command::Fit(args) => fit::run(&args),
        Command::Find(args) => find::run(&args),
        Command::Suggest(args) => suggest::run(&args),
        Command::Train(args) => train::run(&args),
        Command::Resume(args) => train::resume(&args.run, &args.show, 0),
        Command::Predict(args) => predict::run(&args),
        Command::Data(args) => data::run(&args),
        Command::Bench(args) => bench::run(&args),
    }
}
