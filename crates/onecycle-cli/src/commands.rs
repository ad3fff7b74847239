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
mod study_progress;
mod suggest;
mod train;

use std::{process::ExitCode, time::Instant};

use clap::{Parser, Subcommand};

use crate::output::AnyError;

/// Train image classifiers fast by Leslie Smith's 1cycle policy.
#[derive(Debug, Parser)]
#[command(name = "onecycle", version, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show what a policy does over a run, before any training
    Plan(plan::Plan),
    /// Find learning rate and weight decay by a range test, train one cycle with them, test
    Fit(fit::Fit),
    /// Make a learning rate range test, over several weight decays, momenta, batch sizes or seeds
    Find(find::Find),
    /// Say what all rules make of a recorded range test
    Suggest(suggest::Suggest),
    /// Train a network and leave a model, records, figures and a report
    Train(train::Train),
    /// Go on with a stopped run
    Resume(train::Resume),
    /// Train the same network by several policies and seeds, and compare them
    Compare(compare::Compare),
    /// Repeat a figure or table of the 1cycle literature, or all of them
    Reproduce(reproduce::Reproduce),
    /// Classify images by a trained model
    Predict(predict::Predict),
    /// Say how well a trained model does on labelled images, class by class
    Evaluate(evaluate::Evaluate),
    /// Say how noisy a run's gradients are, how sharp its minimum is, how large its gap
    Diagnose(diagnose::Diagnose),
    /// List, fetch or check data sets
    #[command(subcommand)]
    Data(data::Data),
    /// Measure how fast this machine trains a network
    Bench(bench::Bench),
}

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
