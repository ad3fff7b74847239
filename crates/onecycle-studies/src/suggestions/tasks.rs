use crate::StudyError;
use onecycle_train::{Config, ConfigError, config::Layers};

/// Settings of all tasks: every tenth training image is held out, unless the task says otherwise, and the
/// policy is the default, the paper's 1cycle. The test set is not used.
const COMMON: [(&str, &str); 1] = [("data.validation", "0.1")];
/// The rates of all grids are powers of two times this rate.
const ANCHOR: f64 = 0.1;

/// A training whose best peak the study looks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// Its name, also the name of its folder.
    pub name: &'static str,
    /// Data, network, optimizer and length.
    pub config: Config,
    /// The peaks of the grid, with a factor of two between them.
    pub grid: Vec<f64>,
}

/// A row of the task table: name, settings, exponents of the lowest and the highest peak.
type Line = (
    &'static str,
    &'static [(&'static str, &'static str)],
    (i32, i32),
);

/// The tasks differ in depth, batch norm, data, number of images, batch size and optimizer.
const TASKS: [Line; 12] = [
    (
        "resnet-small",
        &[
            ("model", "resnet-small"),
            ("batch_size", "32"),
            ("steps", "600"),
        ],
        (-3, 3),
    ),
    (
        "convnet",
        &[("model", "convnet"), ("batch_size", "64"), ("steps", "800")],
        (-3, 4),
    ),
    (
        "convnet-plain",
        &[
            ("model", "convnet-plain"),
            ("batch_size", "64"),
            ("steps", "800"),
        ],
        (-3, 3),
    ),
    (
        "convnet-small-batch",
        &[
            ("model", "convnet"),
            ("batch_size", "32"),
            ("steps", "800"),
            ("data.limit", "10000"),
            ("data.validation", "0.6"),
        ],
        (-3, 4),
    ),
    (
        "convnet-adamw",
        &[
            ("model", "convnet"),
            ("batch_size", "32"),
            ("steps", "800"),
            ("optimizer.kind", "adamw"),
            ("optimizer.weight_decay", "0.01"),
        ],
        (-8, 0),
    ),
    (
        "lenet-mnist",
        &[
            ("model", "lenet5"),
            ("data.name", "mnist"),
            ("batch_size", "32"),
            ("steps", "1500"),
        ],
        (-4, 2),
    ),
    (
        // 512 training images, 40 epochs.
        "lenet-512",
        &[
            ("model", "lenet5"),
            ("batch_size", "32"),
            ("steps", "640"),
            ("data.limit", "6512"),
            ("data.validation", "0.9214"),
        ],
        (-4, 2),
    ),
    (
        "mlp-large-batch",
        &[("model", "mlp"), ("batch_size", "512"), ("steps", "400")],
        (-3, 4),
    ),
    (
        "resnet8-cifar",
        &[
            ("model", "resnet8"),
            ("data.name", "cifar10"),
            ("batch_size", "32"),
            ("steps", "800"),
            ("data.limit", "20000"),
            ("data.validation", "0.3"),
        ],
        (-3, 3),
    ),
    // No rule was developed on the following tasks.
    (
        "convnet-mnist",
        &[
            ("model", "convnet"),
            ("data.name", "mnist"),
            ("batch_size", "128"),
            ("steps", "500"),
        ],
        (-3, 4),
    ),
    (
        "convnet-plain-cifar",
        &[
            ("model", "convnet-plain"),
            ("data.name", "cifar10"),
            ("batch_size", "64"),
            ("steps", "1000"),
            ("data.limit", "20000"),
            ("data.validation", "0.3"),
        ],
        (-4, 2),
    ),
    (
        "resnet8-adamw",
        &[
            ("model", "resnet8"),
            ("data.name", "cifar10"),
            ("batch_size", "64"),
            ("steps", "600"),
            ("optimizer.kind", "adamw"),
            ("optimizer.weight_decay", "0.01"),
            ("data.limit", "20000"),
            ("data.validation", "0.3"),
        ],
        (-8, 0),
    ),
];

/// Names of all tasks, in order.
pub fn names() -> impl Iterator<Item = &'static str> {
    TASKS.iter().map(|(name, ..)| *name)
}

/// The tasks with these names; all tasks if there is no name.
///
/// # Errors
/// [`ConfigError::Setting`] with the known names.
pub fn tasks(wanted: &[String]) -> Result<Vec<Task>, StudyError> {
    if let Some(unknown) = wanted
        .iter()
        .find(|name| !names().any(|known| known == **name))
    {
        return Err(ConfigError::setting(
            "--tasks",
            unknown.clone(),
            names().collect::<Vec<_>>().join(", "),
        )
        .into());
    }
    TASKS
        .iter()
        .filter(|(name, ..)| wanted.is_empty() || wanted.iter().any(|one| one == name))
        .map(|(name, settings, (low, high))| {
            let mut layers = Layers::new()?;
            for (key, value) in COMMON.iter().chain(settings.iter()) {
                layers = layers.set(key, value)?;
            }
            Ok(Task {
                name,
                config: layers.resolve()?,
                grid: (*low..=*high).map(|k| ANCHOR * f64::powi(2.0, k)).collect(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_holds_out_images_and_sets_its_steps() -> Result<(), StudyError> {
        let all = tasks(&[])?;
        assert_eq!(all.len(), TASKS.len());
        for task in all {
            assert!(task.config.data.validation > 0.0, "{}", task.name);
            assert!(task.config.steps.is_some(), "{}", task.name);
            let ratios = task.grid.windows(2).map(|pair| pair[1] / pair[0]);
            assert!(
                ratios.into_iter().all(|ratio| ratio == 2.0),
                "{}",
                task.name
            );
        }
        Ok(())
    }

    #[test]
    fn an_unknown_task_lists_the_known_ones() {
        let error = tasks(&["lenet".to_owned()]).map_or_else(|e| e.to_string(), |_| String::new());
        assert!(error.contains("lenet-mnist"), "{error}");
    }
}
