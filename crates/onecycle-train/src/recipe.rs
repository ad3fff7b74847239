//! Recipes: complete configurations of published trainings, by name.
//!
//! A recipe is a configuration file. Print it, change it, and train it with `--config`; or set
//! single keys on top of it.

use crate::ConfigError;

/// A configuration with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recipe {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it trains, in one line.
    pub summary: &'static str,
    /// The configuration file.
    pub toml: &'static str,
}

/// All recipes.
pub const RECIPES: [Recipe; 2] = [
    Recipe {
        name: "cifar10-94",
        summary: "CIFAR-10 in 8 epochs by airbench94 with Muon; 94 % in Jordan's runs (2024)",
        toml: include_str!("../recipes/cifar10-94.toml"),
    },
    Recipe {
        name: "cifar10-94-sgd",
        summary: "CIFAR-10 in 9.9 epochs by airbench94 with SGD and one cycle; 94 % in the paper (Jordan 2024)",
        toml: include_str!("../recipes/cifar10-94-sgd.toml"),
    },
];

/// Finds a recipe by its name.
///
/// # Errors
/// [`ConfigError::Setting`] with the known names.
pub fn find(name: &str) -> Result<&'static Recipe, ConfigError> {
    RECIPES
        .iter()
        .find(|recipe| recipe.name == name)
        .ok_or_else(|| {
            let known: Vec<&str> = RECIPES.iter().map(|recipe| recipe.name).collect();
            let expected = format!("a recipe: {}", known.join(", "));
            ConfigError::setting("--recipe", name, expected)
        })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A failed unwrap is a failed test.
mod tests {
    use super::*;
    use crate::{config::Layers, experiment};

    /// Every recipe is a valid configuration, and its policy fits its data set.
    #[test]
    fn recipes_are_valid() {
        for recipe in RECIPES {
            let config = Layers::new().unwrap().recipe(recipe.name).unwrap();
            let config = config.resolve().unwrap();
            experiment::plan(&config, Some(50_000)).unwrap();
        }
    }

    /// The numbers of airbench94. Its 9.9 epochs of 48 full batches are rounded up to 476 steps, ours
    /// to the nearest.
    #[test]
    fn the_recipe_with_sgd_has_the_published_length_and_rates() {
        let config = Layers::new().unwrap().recipe("cifar10-94-sgd").unwrap();
        let config = config.resolve().unwrap();
        let plan = experiment::plan(&config, Some(50_000)).unwrap();
        assert_eq!(plan.steps(), 475);
        let peak = plan.at(plan.peak_step());
        assert!((peak.lr - 1.5).abs() < 1e-3, "{}", peak.lr);
        assert!((plan.peak_step() as f64 / 475.0 - 0.23).abs() < 0.005);
        assert!((plan.at(0).lr / peak.lr - 0.2).abs() < 1e-12);
        assert!((plan.at(474).lr / peak.lr - 0.07).abs() < 1e-12);
    }

    /// The numbers of airbench94_muon.py. It adds up the loss of the 2000 images of a batch, so its rates
    /// for SGD are those of the mean loss divided by 2000. Its logits are `W x / 256`, ours `W x / 9`: for
    /// the same function, our weights and their gradients are `9 / 256` and `256 / 9` times as large, and
    /// the rate is the ratio of the two.
    #[test]
    fn the_recipe_with_muon_has_the_published_length_and_rates() {
        let config = Layers::new().unwrap().recipe("cifar10-94").unwrap();
        let config = config.resolve().unwrap();
        let plan = experiment::plan(&config, Some(50_000)).unwrap();
        assert_eq!(plan.steps(), 200);
        for step in [0, 50, 199] {
            let published = 0.24 * (1.0 - step as f64 / 200.0);
            assert!((plan.at(step).lr - published).abs() < 1e-12, "step {step}");
        }
        let (lr, images) = (plan.at(0).lr, 2000.0);
        let scales = config.optimizer.groups.iter().map(|group| group.scale);
        let logits = (9.0 / 256.0_f64).powi(2);
        for (scale, published) in scales.zip([0.67 * logits, 0.053]) {
            let ratio = scale.lr * lr / images / published;
            assert!((ratio - 1.0).abs() < 1e-6, "{scale:?}");
            // `wd = 2e-6 * batch_size` is the shrinkage of a step at the full rate.
            let shrinkage = scale.lr * lr * scale.weight_decay * 1e-6;
            assert!(
                (shrinkage / (2e-6 * images) - 1.0).abs() < 1e-4,
                "{scale:?}"
            );
        }
    }

    #[test]
    fn an_unknown_recipe_names_the_known_ones() {
        let error = find("cifar-94").unwrap_err().to_string();
        assert!(error.contains("cifar10-94"), "{error}");
    }
}
