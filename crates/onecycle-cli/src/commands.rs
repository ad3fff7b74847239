//! One module a command.

mod bench;
mod compare;
mod data;
mod diagnose;
mod divergence;
mod evaluate;
mod find;
mod fit;
mod plan;
mod predict;
mod reproduce;
mod suggest;
mod train;
mod trials;

use std::{process::ExitCode, time::Instant};

use crate::{
    args::{Args, Command},
    output::AnyError,
};

/// Runs the command that was asked for at `start`.
pub(crate) fn run(args: Args, start: Instant) -> Result<ExitCode, AnyError> {
    match args.command {
        Command::Plan(args) => plan::run(&args),
        Command::Fit(args) => fit::run(&args, start),
        Command::Find(args) => find::run(&args, start),
        Command::Suggest(args) => suggest::run(&args),
        Command::Train(args) => train::run(&args, start),
        Command::Resume(args) => train::resume(&args.run, 0, &args.course, &args.show, start),
        Command::Compare(args) => compare::run(&args, start),
        Command::Reproduce(args) => reproduce::run(&args, start),
        Command::Predict(args) => predict::run(&args),
        Command::Evaluate(args) => evaluate::run(&args),
        Command::Diagnose(args) => diagnose::run(&args, start),
        Command::Data(args) => data::run(&args),
        Command::Bench(args) => bench::run(&args),
    }
}
