//! The command line, and one module per command.

mod bench;
mod compare;
mod data;
mod diagnose;
mod divergence;
mod evaluate;
mod export;
mod find;
mod fit;
mod log;
mod plan;
mod predict;
mod recipes;
mod reproduce;
mod search;
mod slurm;
mod study_progress;
mod suggest;
mod train;
mod watch;
mod weights;

use std::{process::ExitCode, time::Instant};

use clap::{Parser, Subcommand};

use crate::{
    args::ConfigOptions,
    on_finish::OnFinish,
    output::AnyError,
    processes::{self, Joined},
};

/// Train image classifiers fast with Leslie Smith's 1cycle policy.
///
/// Shortest way: `onecycle fit`. Then open report.html in the run folder that it prints.
#[derive(Debug, Parser)]
#[command(name = "onecycle", version, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// A command with its arguments.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show learning rate and momentum over a run without training
    Plan(plan::Plan),
    /// Find learning rate and weight decay, train one cycle with them, and test
    Fit(fit::Fit),
    /// Run a learning rate range test, optionally for several weight decays, momenta or batch sizes
    Find(find::Find),
    /// Suggest learning rates from a recorded range test, by every rule
    Suggest(suggest::Suggest),
    /// Train a network; writes a model, records, figures and a report
    Train(train::Train),
    /// Continue a stopped run
    Resume(train::Resume),
    /// Train with several policies over several seeds, and compare them
    Compare(compare::Compare),
    /// Reproduce figures and tables of the 1cycle literature
    Reproduce(reproduce::Reproduce),
    /// Show runs and studies on a live web page, while they train
    Watch(watch::Watch),
    /// Train a study on a Slurm cluster, as a job array of workers
    Slurm(slurm::Slurm),
    /// Write log files for TensorBoard from the records of runs or studies
    Log(log::Log),
    /// Classify images with a trained model
    Predict(predict::Predict),
    /// Write a trained model as an ONNX file, with its preprocessing and class names
    Export(export::Export),
    /// Measure the accuracy of a trained model on labelled images, overall and per class
    Evaluate(evaluate::Evaluate),
    /// Measure gradient noise, sharpness and generalisation gap of a run
    Diagnose(diagnose::Diagnose),
    /// List, download or verify data sets
    #[command(subcommand)]
    Data(data::Data),
    /// List or download pretrained weights
    #[command(subcommand)]
    Weights(weights::Weights),
    /// List the built-in recipes, or print one as a configuration file
    Recipes(recipes::Recipes),
    /// Measure the training speed of this machine
    Bench(bench::Bench),
}

impl Command {
    /// The command that runs at the end of this one.
    fn on_finish(&self) -> Option<&OnFinish> {
        match self {
            Command::Fit(args) => Some(&args.on_finish),
            Command::Train(args) => Some(&args.run_options.on_finish),
            Command::Resume(args) => Some(&args.run_options.on_finish),
            Command::Compare(args) => Some(&args.study.on_finish),
            Command::Reproduce(args) => Some(&args.study.on_finish),
            _ => None,
        }
    }

    /// The configuration of a command that several processes can run together.
    fn shared(&self) -> Option<&ConfigOptions> {
        match self {
            Command::Fit(args) => Some(&args.configuration),
            Command::Find(args) => Some(&args.configuration),
            Command::Train(args) => Some(&args.configuration),
            Command::Resume(args) => Some(&args.configuration),
            _ => None,
        }
    }
}

/// Runs a command whose process began at `start`. If it has joined other processes, keeps the connection
/// in `joined`.
pub(crate) fn run(
    args: Args,
    start: Instant,
    joined: &mut Option<Joined>,
) -> Result<ExitCode, AnyError> {
    if let Some(configuration) = args.command.shared() {
        let joined = joined.insert(processes::join()?);
        if let Some(code) = joined.follow(|| configuration.threads())? {
            return Ok(code);
        }
    }
    if let Some(on_finish) = args.command.on_finish() {
        on_finish.listen();
    }
    match args.command {
        Command::Plan(args) => plan::run(&args),
        Command::Fit(args) => fit::run(&args, start),
        Command::Find(args) => find::run(&args, start),
        Command::Suggest(args) => suggest::run(&args),
        Command::Train(args) => train::run(&args, start),
        Command::Resume(args) => {
            let configuration = &args.configuration;
            train::resume(
                &args.run,
                configuration,
                &args.run_options,
                &args.show,
                start,
            )
        }
        Command::Compare(args) => compare::run(&args, start),
        Command::Reproduce(args) => reproduce::run(&args, start),
        Command::Watch(args) => watch::run(&args),
        Command::Slurm(args) => slurm::run(&args),
        Command::Log(args) => log::run(&args),
        Command::Predict(args) => predict::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Evaluate(args) => evaluate::run(&args),
        Command::Diagnose(args) => diagnose::run(&args, start),
        Command::Data(args) => data::run(&args),
        Command::Weights(args) => weights::run(&args),
        Command::Recipes(args) => recipes::run(&args),
        Command::Bench(args) => bench::run(&args),
    }
}
