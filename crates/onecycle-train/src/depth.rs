//! Layers by depth: which of them a training with a `[finetune]` table freezes, and their learning
//! rates (Howard & Ruder, "Universal Language Model Fine-tuning for Text Classification" (2018),
//! section 3.2).

use onecycle::GroupScale;
use onecycle_burn::{
    BurnError,
    freeze::{self, set_norms},
    layer_groups::LayerGroups,
    optim::ParamGroup,
};
use onecycle_vision::models::{Architecture, Model};

use crate::{
    Config,
    config::{FinetuneConfig, NormStatistics},
};

/// The learning rate of a group of layers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DepthRate {
    /// Name of its most important layer.
    pub layers: &'static str,
    /// Factor on the learning rate of the plan, above 0 and at most 1.
    pub lr: f64,
}

/// The learning rates of the groups of layers, from the input to the output; empty if all layers
/// have the same.
pub(crate) fn rates(
    config: &Config,
    architecture: Architecture,
) -> Result<Vec<DepthRate>, BurnError> {
    let Some(finetune) = of_all_layers(config) else {
        return Ok(Vec::new());
    };
    let scales = groups(architecture)?.spread(finetune.lowest_rate)?;
    let names = architecture.layer_groups().iter().map(|group| group.name);
    let rate = |(layers, scale): (&'static str, GroupScale)| DepthRate {
        layers,
        lr: scale.lr,
    };
    Ok(names.zip(scales).map(rate).collect())
}

/// The parameter groups of a configuration whose own are `own`: with learning rates by depth, each
/// parameter takes the product of both factors.
pub(crate) fn param_groups(
    config: &Config,
    architecture: Architecture,
    own: Vec<ParamGroup>,
) -> Result<Vec<ParamGroup>, BurnError> {
    let Some(finetune) = of_all_layers(config) else {
        return Ok(own);
    };
    let groups = groups(architecture)?;
    groups.param_groups(&groups.spread(finetune.lowest_rate)?, &own)
}

/// `model` with the layers frozen that `config` does not train, and with the statistics of its batch
/// norm.
pub(crate) fn freeze(
    config: &Config,
    architecture: Architecture,
    model: Model,
) -> Result<Model, BurnError> {
    let Some(finetune) = config.finetune else {
        return Ok(model);
    };
    if finetune.freeze {
        let groups = groups(architecture)?;
        return Ok(groups.freeze_to(model, groups.len() - 1));
    }
    Ok(match finetune.batch_norm {
        NormStatistics::Frozen => set_norms(model, freeze::NormStatistics::Running, |_| true),
        NormStatistics::Train => model,
    })
}

/// The `[finetune]` table of a configuration that trains all layers with it.
fn of_all_layers(config: &Config) -> Option<FinetuneConfig> {
    config.finetune.filter(|finetune| !finetune.freeze)
}

fn groups(architecture: Architecture) -> Result<LayerGroups, BurnError> {
    let groups = architecture.layer_groups().iter();
    LayerGroups::new(groups.map(|group| group.modules.join("|")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A failed unwrap is a failed test.
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn config(freeze: bool) -> Config {
        Config {
            init: Some(PathBuf::from("weights.safetensors")),
            finetune: Some(FinetuneConfig {
                freeze,
                lowest_rate: 0.01,
                ..FinetuneConfig::default()
            }),
            ..Config::default()
        }
    }

    const RESNET: Architecture = Architecture::ResNetSmall;

    #[test]
    fn rates_rise_from_the_first_layers_to_the_last() {
        let rates = rates(&config(false), RESNET).unwrap();
        let names: Vec<&str> = rates.iter().map(|rate| rate.layers).collect();
        assert_eq!(names, ["conv1", "stage1", "stage2", "stage3", "fc"]);
        assert!((rates[0].lr - 0.01).abs() < 1e-12);
        assert_eq!(rates[4].lr, 1.0);
        let ratio = |i: usize| rates[i + 1].lr / rates[i].lr;
        assert!((0..4).all(|i| (ratio(i) - 10f64.sqrt()).abs() < 1e-9));
        for other in [config(true), Config::default()] {
            assert!(super::rates(&other, RESNET).unwrap().is_empty());
        }
    }

    #[test]
    fn rates_and_weight_decays_of_a_parameter_multiply() {
        let own = vec![ParamGroup::no_decay_on_bias_and_norm()];
        let groups = param_groups(&config(false), RESNET, own.clone()).unwrap();
        let of = |path: &str, rank| {
            let group = groups.iter().find(|group| group.matches(path, rank));
            group.map(|group| (group.scale.lr, group.scale.weight_decay))
        };
        assert_eq!(of("fc.bias", 1), Some((1.0, 0.0)));
        assert_eq!(of("fc.weight", 2), Some((1.0, 1.0)));
        let (lr, decay) = of("bn1.weight", 1).unwrap();
        assert!((lr - 0.01).abs() < 1e-12 && decay == 0.0);
        assert_eq!(
            param_groups(&config(true), RESNET, own.clone()).unwrap(),
            own
        );
    }
}
