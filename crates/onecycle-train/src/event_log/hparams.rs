//! Configurations as hyper-parameters of TensorBoard's page HParams.

use std::{collections::BTreeMap, path::Path};

use onecycle_tensorboard::{Experiment, HParam, Metric, Summary as Values};
use toml::{Table, Value};

use super::{EventLog, event_files, now, retire};
use crate::{
    Config, FileError, TrainError,
    config::{WITHOUT_EFFECT, flatten},
    run_folder::{RunFile, RunFolder},
};

/// Metrics of a study's runs.
const METRICS: [Metric; 4] = [
    Metric {
        tag: "test/accuracy",
        name: "test accuracy",
    },
    Metric {
        tag: "epoch/val_accuracy",
        name: "validation accuracy",
    },
    Metric {
        tag: "epoch/val_loss",
        name: "validation loss",
    },
    Metric {
        tag: "epoch/generalisation_gap",
        name: "generalisation gap",
    },
];
/// Hyper-parameter with the label of a run in its study.
const LABEL: &str = "label";

/// The begin of a session: every key of the configuration. The runs of a label are a group, so that
/// the page shows the mean over their seeds.
pub(super) fn session_start(
    folder: &RunFolder,
    run: &RunFile,
    time: f64,
) -> Result<Values, TrainError> {
    let mut hparams = values_of(&run.config)?;
    let label = label_of(folder.root(), run.config.seed);
    if let Some(label) = &label {
        hparams.insert(LABEL.to_owned(), HParam::Text(label.clone()));
    }
    let hparams: Vec<_> = hparams.into_iter().collect();
    Ok(Values::default().hparams(&hparams, &label.unwrap_or_default(), time))
}

/// The label of a run in a folder with the name `LABEL-seedN`, as a study has it; `None` for another
/// name.
#[must_use]
pub fn label_of(root: &Path, seed: u64) -> Option<String> {
    let name = root.file_name()?.to_str()?;
    let label = name.strip_suffix(&format!("-seed{seed}"))?;
    (!label.is_empty()).then(|| label.to_owned())
}

/// Writes an event file into the folder `out` that tells the page HParams to show the keys in which
/// the runs of a study differ, and the accuracies and losses of the runs. `runs` are their labels
/// and configurations. An earlier event file there is replaced.
///
/// # Errors
/// Files cannot be written.
pub fn write_experiment<'a>(
    out: &Path,
    runs: impl IntoIterator<Item = (&'a str, &'a Config)>,
) -> Result<(), TrainError> {
    let mut values: BTreeMap<String, Vec<HParam>> = BTreeMap::new();
    let mut add = |name: &str, value: HParam| {
        let known = values.entry(name.to_owned()).or_default();
        if !known.contains(&value) {
            known.push(value);
        }
    };
    let configs: Vec<(&str, BTreeMap<String, HParam>)> = runs
        .into_iter()
        .map(|(label, config)| Ok((label, values_of(config)?)))
        .collect::<Result<_, TrainError>>()?;
    for (label, config) in &configs {
        add(LABEL, HParam::Text((*label).to_owned()));
        for (name, value) in config {
            add(name, value.clone());
        }
    }
    let differs = |name: &str, values: &[HParam]| {
        let everywhere = configs.iter().all(|(_, config)| config.contains_key(name));
        values.len() > 1 || !everywhere
    };
    let hparams: Vec<(String, Vec<HParam>)> = values
        .into_iter()
        // The seeds of a label are its repetitions.
        .filter(|(name, values)| name == LABEL || name != "seed" && differs(name, values))
        .collect();
    let time = now();
    let experiment = Experiment {
        hparams: &hparams,
        metrics: &METRICS,
        created: time,
    };
    let old = event_files(out)?;
    let mut log = EventLog::create(out, &old, time)?;
    log.push(0, time, Values::default().experiment(&experiment))?;
    log.flush()?;
    Ok(retire(&old)?)
}

/// Every key of a configuration with its value.
fn values_of(config: &Config) -> Result<BTreeMap<String, HParam>, TrainError> {
    let table = Table::try_from(config).map_err(FileError::to_toml)?;
    let mut rows = Vec::new();
    flatten("", &table, &mut rows);
    rows.retain(|(key, _)| !WITHOUT_EFFECT.contains(&key.as_str()));
    let rows = rows.into_iter();
    Ok(rows.map(|(key, value)| (key, hparam(value))).collect())
}

fn hparam(value: &Value) -> HParam {
    match value {
        Value::Integer(number) => HParam::Number(*number as f64),
        Value::Float(number) => HParam::Number(*number),
        Value::Boolean(is) => HParam::Bool(*is),
        Value::String(text) => HParam::Text(text.clone()),
        other => HParam::Text(other.to_string()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A failed unwrap is a failed test.
mod tests {
    use super::*;

    #[test]
    fn keys_have_their_tables_and_types() {
        let values = values_of(&Config::default()).unwrap();
        assert_eq!(values["batch_size"], HParam::Number(128.0));
        assert_eq!(values["policy.lr_max"], HParam::Number(0.2));
        assert_eq!(values["model"], HParam::Text("resnet-small".to_owned()));
        assert!(matches!(&values["policy.momentum"], HParam::Text(list) if list.starts_with('[')));
        assert!(!values.contains_key("threads"));
    }

    #[test]
    fn the_label_is_that_of_the_folder() {
        let label = |path: &str, seed| label_of(Path::new(path), seed);
        assert_eq!(label("s/runs/one-cycle-seed2", 2).unwrap(), "one-cycle");
        assert_eq!(label("s/runs/one-cycle-seed2", 3), None);
        assert_eq!(label("runs/fashion-mnist-001", 1), None);
        assert_eq!(label("-seed1", 1), None);
    }
}
