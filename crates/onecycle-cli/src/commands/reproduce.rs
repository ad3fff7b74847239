use std::{path::PathBuf, process::ExitCode, time::Instant};

use crate::{
    args::{Format, Trials, at_least_one},
    output::{self, AnyError},
    stop::Stop,
};
use onecycle_studies::{
    reproduce::{self, Reproduced, Scale, Setting},
    suggestions,
};
use onecycle_train::{
    ConfigError,
    device::{self, Device},
};

use super::{
    find,
    study_progress::{self, StudyProgress},
};

use clap::Args as ClapArgs;

#[derive(Debug, ClapArgs)]
pub(crate) struct Reproduce {
    /// all, or one of: schedule, full-cycle, higher-rate, long-annihilation, super-convergence, momentum, weight-decay,
    /// noise-scale, flat-minima, batch-warm-start, large-batch, curriculum, lenet-mnist, optimizers; or suggestions, how good
    /// the suggested rates are
    pub(crate) name: String,
    /// quick: all of them in less than half an hour on two cores; cpu: in some hours, ResNet-20 on CIFAR-10; paper: the originals'
    /// networks, data and epochs, for a GPU
    #[arg(long, value_name = "SCALE", default_value = "quick")]
    pub(crate) scale: String,
    /// Runs of each variant [default: 3; 1 at the scale of the paper]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = at_least_one)]
    pub(crate) seeds: Option<usize>,
    /// Network in place of the scale's
    #[arg(long, value_name = "NAME")]
    pub(crate) model: Option<String>,
    /// Training images in place of the scale's, the first N
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = at_least_one)]
    pub(crate) images: Option<usize>,
    /// Test images in place of the scale's, the first N
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = at_least_one)]
    pub(crate) test_images: Option<usize>,
    /// Epochs of one cycle in place of the scale's; other lengths follow
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) epochs: Option<f64>,
    /// Of suggestions: these tasks only
    #[arg(long, value_name = "TASK,..", value_delimiter = ',')]
    pub(crate) tasks: Vec<String>,
    /// cpu, cuda or wgpu
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    pub(crate) device: String,
    /// Folder of runs and results; the same command again goes on there, and experiments share it [default:
    /// runs/reproduce-SCALE]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) trials: Trials,
}

/// The study of the suggested rates by its name.
const SUGGESTIONS: &str = "suggestions";
/// The experiment whose network is not the scale's.
const LENET: &str = "lenet-mnist";
/// Its seeds, where none are asked for.
const SEEDS: usize = 3;
/// What it ends with when it is stopped.
const STOPPED: &str = "stopped; the same command goes on";

pub(crate) fn run(args: &Reproduce, start: Instant) -> Result<ExitCode, AnyError> {
    if args.name == SUGGESTIONS {
        return suggested(args, start);
    }
    let experiments = reproduce::named(&args.name)?;
    let setting = setting(args)?;
    device::set_threads(args.trials.threads.count)?;
    let out = args.out.clone().unwrap_or_else(|| {
        PathBuf::from("runs").join(format!("reproduce-{}", setting.scale.name()))
    });
    let stop = Stop::listen(
        start,
        args.trials.max_time,
        study_progress::how_to_go_on((0, 0)),
    );
    let mut progress = StudyProgress::new(args.trials.show.quiet, stop.clone());
    let results = reproduce::run(&experiments, &setting, &out, &mut progress)?;
    progress.finish();
    let Some(results) = results else {
        return Ok(progress.stopped());
    };
    match args.trials.show.format {
        Format::Json => output::json(&results)?,
        Format::Text => {
            for result in &results {
                output::text(&told(result))?;
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

/// The study of the suggested rates. It has tasks of its own in place of a scale.
fn suggested(args: &Reproduce, start: Instant) -> Result<ExitCode, AnyError> {
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
            format!("nothing: the tasks of `{SUGGESTIONS}` are what they are"),
        )));
    }
    let device = args.device.parse::<Device>()?;
    let mut tasks = suggestions::tasks(&args.tasks)?;
    for task in &mut tasks {
        task.config.device = device;
    }
    let setting = suggestions::Setting {
        tasks,
        seeds: (1..=args.seeds.unwrap_or(SEEDS) as u64).collect(),
    };
    device::set_threads(args.trials.threads.count)?;
    let out = args
        .out
        .clone()
        .unwrap_or_else(|| PathBuf::from("runs").join(SUGGESTIONS));
    let stop = Stop::listen(start, args.trials.max_time, STOPPED);
    let mut progress = find::SearchProgress::new(1, args.trials.show.quiet, stop.clone());
    let suggested = suggestions::run(&setting, &out, &mut progress)?;
    progress.finish();
    let Some(suggested) = suggested else {
        output::note(&format!("{}{STOPPED}", stop.why()));
        return Ok(stop.exit_code());
    };
    match args.trials.show.format {
        Format::Json => output::json(&suggested)?,
        Format::Text => {
            output::text(&suggested.text())?;
            output::text(&format!("figures  {}", out.join("figures").display()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The scale with what the flags put in its place.
fn setting(args: &Reproduce) -> Result<Setting, AnyError> {
    let mut setting = Setting::of(Scale::parse(&args.scale)?);
    setting.device = args.device.parse::<Device>()?;
    if let Some(seeds) = args.seeds {
        setting.seeds = (1..=seeds as u64).collect();
    }
    let budget = &mut setting.budget;
    if let Some(model) = &args.model {
        let own = match args.name.as_str() {
            LENET => &mut budget.lenet_model,
            _ => &mut budget.model,
        };
        own.clone_from(model);
    }
    if let Some(images) = args.images {
        budget.images = images;
    }
    if let Some(images) = args.test_images {
        budget.test_images = images;
    }
    if let Some(epochs) = args.epochs {
        if !(epochs.is_finite() && epochs > 0.0) {
            return Err(ConfigError::setting("--epochs", epochs, "a number above 0").into());
        }
        budget.lenet_epochs *= epochs / budget.epochs;
        budget.epochs = epochs;
    }
    Ok(setting)
}

/// Name, title and verdicts.
fn told(result: &Reproduced) -> String {
    let mut text = format!("{}: {}\n", result.name, result.title);
    for claim in &result.claims {
        text.push_str(&format!(
            "  {:<14} {}\n{:17}published: {}\n{:17}ours: {}\n",
            claim.seen.words(),
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

    /// Networks of the scale and of `lenet-mnist` with `--model mlp`.
    fn networks(experiment: &str) -> Option<[String; 2]> {
        let line = ["onecycle", "reproduce", experiment, "--model", "mlp"];
        let Command::Reproduce(args) = Args::try_parse_from(line).ok()?.command else {
            return None;
        };
        let budget = setting(&args).ok()?.budget;
        Some([budget.model, budget.lenet_model])
    }

    #[test]
    fn a_network_replaces_that_of_the_experiment() {
        let words = |words: [&str; 2]| Some(words.map(str::to_owned));
        assert_eq!(networks("higher-rate"), words(["mlp", "lenet5"]));
        assert_eq!(networks(LENET), words(["resnet-small", "mlp"]));
    }
}
