//! `onecycle slurm`: a study as a job array of workers.

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode, Output},
    time::Duration,
};

use clap::{Args as ClapArgs, Subcommand};
use onecycle_train::{ConfigError, files};
use serde::Serialize;

use super::{
    compare::{self, Compare},
    reproduce::{self, Reproduce},
};
use crate::{
    args::{Format, StudyOptions, at_least_one, quoted},
    output::{self, AnyError},
    stop,
};

/// Arguments of `onecycle slurm`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Slurm {
    #[command(subcommand)]
    study: StudyCommand,
}

/// The study to train.
#[derive(Debug, Subcommand)]
enum StudyCommand {
    /// Train with several policies over several seeds, and compare them
    Compare(CompareJob),
    /// Reproduce figures and tables of the 1cycle literature
    Reproduce(ReproduceJob),
}

#[derive(Debug, ClapArgs)]
struct CompareJob {
    #[command(flatten)]
    study: Compare,
    #[command(flatten)]
    job: JobOptions,
}

#[derive(Debug, ClapArgs)]
struct ReproduceJob {
    #[command(flatten)]
    study: Reproduce,
    #[command(flatten)]
    job: JobOptions,
}

/// Flags of the job array.
#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Slurm")]
struct JobOptions {
    /// Number of workers
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = at_least_one)]
    array: usize,
    /// Time limit of a worker (30m, 2h, 1d), at least 3m; a worker that reaches it is queued again
    /// and continues [default: that of the partition]
    #[arg(long, value_name = "DURATION", value_parser = stop::duration)]
    time: Option<Duration>,
    /// CPU cores per worker, and its threads unless --threads is given
    #[arg(
        long,
        value_name = "N",
        allow_negative_numbers = true,
        default_value_t = 1,
        value_parser = at_least_one
    )]
    cpus: usize,
    /// Partition to submit to
    #[arg(long, value_name = "NAME")]
    partition: Option<String>,
    /// Any other option of sbatch, such as --sbatch=--gpus=1; may be repeated
    #[arg(long, value_name = "OPTION", allow_hyphen_values = true)]
    sbatch: Vec<String>,
    /// Give every worker a fixed share of the runs, for file systems without locks; then run the
    /// command without `slurm` for the result
    #[arg(long)]
    shards: bool,
    /// Print the script instead of submitting it
    #[arg(long)]
    print: bool,
}

/// Shortest time limit: Slurm sends SIGTERM up to two minutes before it.
const SHORTEST: Duration = Duration::from_secs(180);

/// A job array to submit.
struct Job<'a> {
    /// Folder of the study.
    out: PathBuf,
    /// The command without its flags for the part, as words.
    words: Vec<String>,
    options: &'a JobOptions,
    study: &'a StudyOptions,
}

/// What was submitted, for `--format json`.
#[derive(Debug, Serialize)]
struct Submitted {
    /// Path of the script.
    script: PathBuf,
    /// Number of the job; `None` if it was only printed.
    job: Option<String>,
}

/// Checks the study, writes the script of its job array and submits it.
pub(crate) fn run(args: &Slurm) -> Result<ExitCode, AnyError> {
    match &args.study {
        StudyCommand::Compare(CompareJob { study, job }) => {
            if let Some(run) = study.files.iter().find(|path| path.is_dir()) {
                let expected =
                    "configuration files: finished runs are compared by `onecycle compare` alone";
                return Err(ConfigError::setting("files", run.display(), expected).into());
            }
            let comparison = compare::comparison(study)?;
            let out = compare::folder(study, &comparison);
            Job {
                words: compare_words(study, &out),
                out,
                options: job,
                study: &study.study,
            }
            .submit()
        }
        StudyCommand::Reproduce(ReproduceJob { study, job }) => {
            reproduce::check(study)?;
            let out = reproduce::folder(study)?;
            Job {
                words: reproduce_words(study, &out),
                out,
                options: job,
                study: &study.study,
            }
            .submit()
        }
    }
}

/// Flags of a command line.
#[derive(Default)]
struct Words(Vec<String>);

impl Words {
    fn flag(&mut self, name: &str, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.0.extend([name.to_owned(), value.to_string()]);
        }
    }

    fn list(&mut self, name: &str, values: &[impl ToString]) {
        let list: Vec<String> = values.iter().map(ToString::to_string).collect();
        self.flag(name, (!list.is_empty()).then(|| list.join(",")));
    }
}

/// The command line of `compare`, without the options of all studies.
fn compare_words(args: &Compare, out: &Path) -> Vec<String> {
    // No `..`, so that a new flag cannot be forgotten here.
    let Compare {
        files,
        seeds,
        accuracies,
        settings,
        log,
        out: _,
        study: _,
    } = args;
    let mut words = Words(vec!["compare".to_owned()]);
    let paths = files.iter().map(|path| path.display().to_string());
    words.0.extend(paths);
    words.flag("--seeds", *seeds);
    words.list("--accuracies", accuracies);
    for setting in settings {
        words.flag("--set", Some(setting));
    }
    for format in &log.formats {
        words.flag("--log", Some(format));
    }
    words.flag("--out", Some(out.display()));
    words.0
}

/// The command line of `reproduce`, without the options of all studies.
fn reproduce_words(args: &Reproduce, out: &Path) -> Vec<String> {
    let Reproduce {
        name,
        scale,
        seeds,
        model,
        images,
        test_images,
        epochs,
        tasks,
        device,
        out: _,
        study: _,
    } = args;
    let mut words = Words(vec!["reproduce".to_owned(), name.clone()]);
    words.flag("--scale", Some(scale));
    words.flag("--seeds", seeds.as_ref());
    words.flag("--model", model.as_ref());
    words.flag("--images", images.as_ref());
    words.flag("--test-images", test_images.as_ref());
    words.flag("--epochs", epochs.as_ref());
    words.list("--tasks", tasks);
    words.flag("--device", Some(device));
    words.flag("--out", Some(out.display()));
    words.0
}

impl Job<'_> {
    fn submit(&self) -> Result<ExitCode, AnyError> {
        let script = self.script(&std::env::current_exe()?)?;
        // Slurm creates no folder for its logs.
        files::create_folder(&self.folder())?;
        let path = self.folder().join("job.sh");
        files::write_whole(&path, script.as_bytes())?;
        let job = match self.options.print {
            true => None,
            false => Some(sbatch(&path)?),
        };
        match (self.study.show.format, &job) {
            (Format::Json, _) => output::json(&Submitted { script: path, job })?,
            (Format::Text, None) => output::text(script.trim_end())?,
            (Format::Text, Some(job)) => {
                output::text(&format!("job     {job}, {} workers", self.options.array))?;
                output::text(&format!("script  {}", path.display()))?;
                output::text(&format!("logs    {}/{job}-*.log", self.folder().display()))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Folder of the script and the logs.
    fn folder(&self) -> PathBuf {
        self.out.join("slurm")
    }

    /// The script of the job array. `program` is the path of this command, which all nodes must see.
    fn script(&self, program: &Path) -> Result<String, ConfigError> {
        let options = self.options;
        let mut lines = vec!["#!/bin/sh".to_owned()];
        for option in self.directives()? {
            lines.push(format!("#SBATCH {option}"));
        }
        let command: Vec<String> = std::iter::once(program.display().to_string())
            .chain(self.words.iter().cloned())
            .map(|word| quoted(&word))
            .collect();
        let threads = match self.study.threads.count {
            0 => options.cpus,
            threads => threads,
        };
        let mut own = format!("--threads {threads}");
        if self.study.show.quiet {
            own.push_str(" --quiet");
        }
        if let Some(command) = &self.study.on_finish.command {
            own.push_str(&format!(" --on-finish {}", quoted(command)));
        }
        if let Some(time) = self.study.max_time {
            own.push_str(&format!(" --max-time {}s", time.as_secs_f64()));
        }
        let part = match options.shards {
            true => "--shard \"$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT\"",
            false => "--worker",
        };
        lines.push(format!(
            r#"
# Each task is a worker. A run belongs to the worker that locks it, so a task that is killed or queued
# again costs only the time since the last checkpoint of its run.
code=0
srun --cpus-per-task={} {} \
    {own} {part} || code=$?
# Stopped by SIGTERM before the time limit, or by --max-time: a checkpoint is written, and the task
# continues in a new job. If Slurm ends or requeues the job itself, this shell does not get here.
case $code in
    124 | 143) scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID" ;;
esac
exit "$code"
"#,
            options.cpus,
            command.join(" ")
        ));
        Ok(lines.join("\n"))
    }

    /// Options of sbatch.
    fn directives(&self) -> Result<Vec<String>, ConfigError> {
        let options = self.options;
        if self.study.worker || self.study.shard.is_some() {
            let expected = "no such flag: the job array gives each task its part, see --shards";
            return Err(ConfigError::setting(
                "--worker or --shard",
                "given",
                expected,
            ));
        }
        let name = self.out.file_name().unwrap_or_default().to_string_lossy();
        let log = self.folder().join("%A-%a.log");
        let log = log.display().to_string();
        if let Some(refused) = [&log]
            .into_iter()
            .chain(&options.sbatch)
            .find(|text| text.contains(['\n', '"']))
        {
            let expected =
                "text without quotes and line breaks, which a script of sbatch cannot have";
            return Err(ConfigError::setting("--out or --sbatch", refused, expected));
        }
        let mut lines = vec![
            format!("--job-name=\"{name}\""),
            format!("--array=1-{}", options.array),
            "--ntasks=1".to_owned(),
            format!("--cpus-per-task={}", options.cpus),
            "--requeue".to_owned(),
            "--signal=TERM@60".to_owned(),
            "--open-mode=append".to_owned(),
            format!("--output=\"{log}\""),
        ];
        if let Some(time) = options.time {
            if time < SHORTEST {
                let given = format!("{}s", time.as_secs_f64());
                let expected =
                    "at least 3m: Slurm stops a worker up to two minutes before its limit";
                return Err(ConfigError::setting("--time", given, expected));
            }
            let seconds = time.as_secs();
            let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
            lines.push(format!(
                "--time={hours:02}:{minutes:02}:{:02}",
                seconds % 60
            ));
        }
        lines.extend(
            options
                .partition
                .iter()
                .map(|name| format!("--partition={name}")),
        );
        lines.extend(options.sbatch.iter().cloned());
        Ok(lines)
    }
}

/// The submission failed.
#[derive(Debug, thiserror::Error)]
enum SubmitError {
    #[error(
        "cannot run sbatch ({0}): run this on a machine with Slurm, or write the script only, with --print"
    )]
    NoSlurm(std::io::Error),
    #[error("sbatch refused {}: {why}", script.display())]
    Refused { script: PathBuf, why: String },
}

/// Submits a script. Returns the number of the job.
fn sbatch(script: &Path) -> Result<String, SubmitError> {
    let submitted = Command::new("sbatch")
        .arg("--parsable")
        .arg(script)
        .output();
    let Output {
        status,
        stdout,
        stderr,
    } = submitted.map_err(SubmitError::NoSlurm)?;
    if !status.success() {
        return Err(SubmitError::Refused {
            script: script.to_path_buf(),
            why: String::from_utf8_lossy(&stderr).trim().to_owned(),
        });
    }
    // In a federation, `;CLUSTER` follows the number.
    let text = String::from_utf8_lossy(&stdout);
    let number = text.trim().split(';').next();
    Ok(number.unwrap_or_default().to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A failed unwrap is a failed test.
mod tests {
    use clap::Parser;

    use super::*;
    use crate::commands::Args;
    use crate::commands::Command as Top;

    fn parsed(line: &[&str]) -> Slurm {
        let line = ["onecycle", "slurm"].iter().chain(line);
        match Args::try_parse_from(line).unwrap().command {
            Top::Slurm(args) => args,
            other => panic!("{other:?}"),
        }
    }

    fn script(line: &[&str]) -> Result<String, ConfigError> {
        let program = Path::new("/opt/one cycle");
        match &parsed(line).study {
            StudyCommand::Compare(CompareJob { study, job }) => Job {
                words: compare_words(study, Path::new("runs/ab")),
                out: "runs/ab".into(),
                options: job,
                study: &study.study,
            }
            .script(program),
            StudyCommand::Reproduce(ReproduceJob { study, job }) => Job {
                words: reproduce_words(study, Path::new("runs/all")),
                out: "runs/all".into(),
                options: job,
                study: &study.study,
            }
            .script(program),
        }
    }

    #[test]
    fn the_script_has_every_option() {
        #[rustfmt::skip]
        let text = script(&[
            "compare", "a b.toml", "c.toml", "--seeds", "10", "--accuracies", "0.8,0.9", "--set", "epochs=3",
            "--array", "8", "--time", "1.5h", "--cpus", "4", "--partition", "cpu", "--sbatch=--account=me",
        ])
        .unwrap();
        for line in [
            "#SBATCH --job-name=\"ab\"",
            "#SBATCH --array=1-8",
            "#SBATCH --cpus-per-task=4",
            "#SBATCH --requeue",
            "#SBATCH --signal=TERM@60",
            "#SBATCH --open-mode=append",
            "#SBATCH --output=\"runs/ab/slurm/%A-%a.log\"",
            "#SBATCH --time=01:30:00",
            "#SBATCH --partition=cpu",
            "#SBATCH --account=me",
            "srun --cpus-per-task=4 '/opt/one cycle' compare 'a b.toml' c.toml --seeds 10 --accuracies 0.8,0.9 \
             --set epochs=3 --out runs/ab \\",
            "    --threads 4 --worker || code=$?",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
        assert!(text.starts_with("#!/bin/sh\n#SBATCH "), "{text}");
    }

    #[test]
    fn the_command_in_the_script_is_parsed_to_the_same_study() {
        #[rustfmt::skip]
        let given = [
            "reproduce", "higher-rate", "--scale", "cpu", "--seeds", "5", "--model", "mlp", "--images", "100",
            "--test-images", "50", "--epochs", "2.5", "--device", "cpu",
        ];
        let job = [
            "--array",
            "2",
            "--shards",
            "--threads",
            "3",
            "-q",
            "--max-time",
            "90s",
        ];
        let text = script(&[&given[..], &job].concat()).unwrap();
        let last = "    --threads 3 --quiet --max-time 90s --shard \
                    \"$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT\" || code=$?";
        assert!(text.lines().any(|line| line == last), "{text}");
        let line = format!(
            "srun --cpus-per-task=1 '/opt/one cycle' {} --out runs/all \\",
            given.join(" ")
        );
        assert!(text.lines().any(|found| found == line), "{text}");
    }

    #[test]
    fn jobs_that_cannot_work_are_refused() {
        let study = ["compare", "a.toml", "b.toml", "--array", "2"];
        for (more, name) in [
            (&["--time", "100s"][..], "--time = 100s"),
            (&["--worker"], "--shards"),
            (&["--shard", "1/2"], "--shards"),
            (&["--sbatch=--comment=\"x\""], "--sbatch"),
        ] {
            let error = script(&[&study[..], more].concat()).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        }
    }
}
