//! `onecycle reproduce`: experiments of the 1cycle literature.

use std::{path::PathBuf, process::ExitCode, time::Instant};

use clap::Args as ClapArgs;
use onecycle_studies::{
    reproduce::{self, ExperimentResult, Protocol},
    study::StudyOutcome,
    suggestions::{self, SuggestionStudy},
};
use onecycle_train::{
    ConfigError,
    device::{self, Device},
};

use super::{
    search::SearchProgress,
    study_progress::{self, StudyProgress},
};
use crate::{
    args::{Format, StudyOptions, at_least_one},
    on_finish,
    output::{self, AnyError},
    stop::Stop,
};

/// Arguments of `onecycle reproduce`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Reproduce {
    /// all, or one of: schedule, full-cycle, higher-rate, long-annihilation, super-convergence,
    /// momentum, weight-decay, noise-scale, flat-minima, batch-warm-start, large-batch, curriculum,
    /// lenet-mnist, optimizers; or suggestions, a study of how good suggested learning rates are
    /// (not part of all)
    pub(crate) name: String,
    /// quick: many seeds of a small network, all experiments in half an hour on two cores; cpu:
    /// ResNet-20 on CIFAR-10, some hours, super-convergence ten or more; paper: networks, data and
    /// epochs of the papers, for a GPU
    #[arg(long, value_name = "SCALE", default_value = "quick")]
    pub(crate) scale: String,
    /// Runs per variant, each with another seed; long runs of super-convergence have one [default: 10
    /// with --scale quick, 3 with cpu (full-cycle and higher-rate: 1), 1 with paper]
    #[arg(
        long,
        value_name = "N",
        allow_negative_numbers = true,
        value_parser = at_least_one
    )]
    pub(crate) seeds: Option<usize>,
    /// Network, instead of the scale's
    #[arg(long, value_name = "NAME")]
    pub(crate) model: Option<String>,
    /// Train on a random sample of N images, instead of the scale's number
    #[arg(
        long,
        value_name = "N",
        allow_negative_numbers = true,
        value_parser = at_least_one
    )]
    pub(crate) images: Option<usize>,
    /// Test on a random sample of N images, instead of the scale's number
    #[arg(
        long,
        value_name = "N",
        allow_negative_numbers = true,
        value_parser = at_least_one
    )]
    pub(crate) test_images: Option<usize>,
    /// Epochs of one cycle, instead of the scale's; other lengths change in proportion
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) epochs: Option<f64>,
    /// For suggestions: run these tasks only
    #[arg(long, value_name = "TASK,..", value_delimiter = ',')]
    pub(crate) tasks: Vec<String>,
    /// Where to compute: cpu, cuda or wgpu
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    pub(crate) device: String,
    /// Folder of runs and results; run the same command again to continue. Experiments in one
    /// folder share runs [default: runs/reproduce-SCALE, runs/suggestions]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) study: StudyOptions,
}

/// Name of the study of suggested learning rates.
const SUGGESTIONS: &str = "suggestions";
/// Name of the experiment with a network of its own.
const LENET: &str = "lenet-mnist";
/// Default number of seeds of the study of suggestions.
const SEEDS: usize = 3;
/// Message of a stopped study of suggestions.
const STOPPED: &str = "stopped; run the same command again to continue";

/// Runs one experiment, all of them, or the study of suggestions.
pub(crate) fn run(args: &Reproduce, start: Instant) -> Result<ExitCode, AnyError> {
    if args.name == SUGGESTIONS {
        return run_suggestions(args, start);
    }
    let experiments = reproduce::named(&args.name)?;
    let protocol = protocol(args)?;
    device::set_threads(args.study.threads.count)?;
    let part = args.study.part()?;
    let out = folder(args)?;
    let stop = Stop::listen(
        start,
        args.study.max_time,
        study_progress::stopped_message((0, 0)),
    );
    let result = match experiments.as_slice() {
        [one] => out.join(one.name()).join("result.json"),
        _ => out.join("reproduce.json"),
    };
    on_finish::works_in(&out, &result);
    let title = format!("{}, scale {}", args.name, args.scale);
    let mut progress = StudyProgress::new(&title, args.study.show.mode(), stop.clone());
    let outcome = reproduce::take_part(&experiments, &protocol, (&out, part), &mut progress)?;
    progress.finish();
    let results = match outcome {
        StudyOutcome::Finished(results) => results,
        StudyOutcome::Stopped { .. } => return Ok(progress.stopped()),
        StudyOutcome::Left { done, of } => {
            return study_progress::left((done, of), part, args.study.show.format);
        }
    };
    match args.study.show.format {
        Format::Json => output::json(&results)?,
        Format::Text => {
            for result in &results {
                output::text(&result_text(result))?;
            }
            let page = match results.as_slice() {
                [one] => out.join(&one.name).join("index.html"),
                _ => out.join("reproduce.html"),
            };
            output::text(&format!("page  {}", page.display()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Checks the name of the experiment and the flags, without training anything.
pub(super) fn check(args: &Reproduce) -> Result<(), AnyError> {
    if args.name == SUGGESTIONS {
        suggestion_study(args)?;
        return Ok(());
    }
    reproduce::named(&args.name)?;
    protocol(args)?;
    Ok(())
}

/// The folder of the study.
pub(super) fn folder(args: &Reproduce) -> Result<PathBuf, AnyError> {
    if let Some(out) = &args.out {
        return Ok(out.clone());
    }
    let name = match args.name.as_str() {
        SUGGESTIONS => SUGGESTIONS.to_owned(),
        _ => format!("reproduce-{}", protocol(args)?.size.name()),
    };
    Ok(PathBuf::from("runs").join(name))
}

/// The study of suggested learning rates. It has tasks of its own instead of a scale.
fn suggestion_study(args: &Reproduce) -> Result<SuggestionStudy, AnyError> {
    let given = [
        ("--model", args.model.is_some()),
        ("--images", args.images.is_some()),
        ("--test-images", args.test_images.is_some()),
        ("--epochs", args.epochs.is_some()),
    ];
    if let Some((flag, _)) = given.into_iter().find(|(_, given)| *given) {
        return Err(Box::new(ConfigError::setting(
            flag.to_owned(),
            "given",
            format!("no such flag: the tasks of `{SUGGESTIONS}` are fixed"),
        )));
    }
    let device = args.device.parse::<Device>()?;
    let mut tasks = suggestions::tasks(&args.tasks)?;
    for task in &mut tasks {
        task.config.device = device;
    }
    Ok(SuggestionStudy {
        tasks,
        seeds: (1..=args.seeds.unwrap_or(SEEDS) as u64).collect(),
    })
}

/// Runs the study of suggested learning rates.
fn run_suggestions(args: &Reproduce, start: Instant) -> Result<ExitCode, AnyError> {
    let study = suggestion_study(args)?;
    device::set_threads(args.study.threads.count)?;
    let part = args.study.part()?;
    let out = folder(args)?;
    let stop = Stop::listen(start, args.study.max_time, STOPPED);
    on_finish::works_in(&out, &out.join("suggestions.json"));
    let mut progress = SearchProgress::new(1, args.study.show.mode(), stop.clone());
    let outcome = suggestions::take_part(&study, (&out, part), &mut progress)?;
    progress.finish();
    let suggested = match outcome {
        StudyOutcome::Finished(suggested) => suggested,
        StudyOutcome::Stopped { .. } => {
            return Ok(stop.announce(STOPPED));
        }
        StudyOutcome::Left { done, of } => {
            return study_progress::left((done, of), part, args.study.show.format);
        }
    };
    match args.study.show.format {
        Format::Json => output::json(&suggested)?,
        Format::Text => {
            output::text(&suggested.text())?;
            output::text(&format!("figures  {}", out.join("figures").display()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The scale with the changes of the flags.
fn protocol(args: &Reproduce) -> Result<Protocol, AnyError> {
    if !args.tasks.is_empty() {
        let expected = format!("no such flag: only `{SUGGESTIONS}` has tasks");
        return Err(ConfigError::setting("--tasks", args.tasks.join(","), expected).into());
    }
    let mut protocol = Protocol::of(args.scale.parse()?);
    protocol.device = args.device.parse::<Device>()?;
    if let Some(epochs) = args.epochs
        && !(epochs.is_finite() && epochs > 0.0)
    {
        return Err(ConfigError::setting("--epochs", epochs, "a number above 0").into());
    }
    if let Some(epochs) = args.epochs {
        let experiments = reproduce::named(&args.name)?;
        let own = match experiments.as_slice() {
            [one] => one.budget(&protocol.budget).epochs,
            _ => protocol.budget.epochs,
        };
        protocol.budget.set_epochs(epochs, own);
    }
    protocol.budget.change(|budget| {
        if let Some(model) = &args.model {
            let own = match args.name.as_str() {
                LENET => &mut budget.lenet_model,
                _ => &mut budget.model,
            };
            own.clone_from(model);
        }
        budget.seeds = args.seeds.unwrap_or(budget.seeds);
        budget.images = args.images.unwrap_or(budget.images);
        budget.test_images = args.test_images.unwrap_or(budget.test_images);
    });
    Ok(protocol)
}

/// Name, title and verdicts of an experiment as text.
fn result_text(result: &ExperimentResult) -> String {
    let mut text = format!("{}: {}\n", result.name, result.title);
    for claim in &result.claims {
        text.push_str(&format!(
            "  {:<14} {}\n{:17}published: {}\n{:17}ours: {}\n",
            claim.verdict.words(),
            claim.text,
            "",
            claim.published,
            "",
            claim.ours
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::commands::{Args, Command};

    /// Networks of the scale and of `lenet-mnist`, given `--model mlp`.
    fn networks(experiment: &str) -> Option<[String; 2]> {
        let line = ["onecycle", "reproduce", experiment, "--model", "mlp"];
        let Command::Reproduce(args) = Args::try_parse_from(line).ok()?.command else {
            return None;
        };
        let budget = protocol(&args).ok()?.budget;
        Some([budget.model, budget.lenet_model])
    }

    #[test]
    fn model_flag_replaces_the_network_of_the_experiment() {
        let words = |words: [&str; 2]| Some(words.map(str::to_owned));
        assert_eq!(networks("higher-rate"), words(["mlp", "lenet5"]));
        assert_eq!(networks(LENET), words(["convnet", "mlp"]));
    }
}
