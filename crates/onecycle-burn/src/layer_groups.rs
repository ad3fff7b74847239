//! The layers of a module by depth: [`LayerGroups`], for fine-tuning.
//!
//! Pretrained networks are fine-tuned with learning rates that fall towards the input
//! (discriminative rates; Howard & Ruder, "Universal Language Model Fine-tuning" (2018), section
//! 3.2), after the first groups were frozen for a while (their section 3.3; see
//! [`GradualUnfreezing`](crate::unfreezing::GradualUnfreezing)).
//!
//! ```
//! use onecycle_burn::{Optimizer, OptimizerConfig, layer_groups::LayerGroups, optim::ParamGroup};
//!
//! let groups = LayerGroups::new(["conv1|bn1", "layer1", "layer2", "fc"])?;
//! assert_eq!(groups.of("layer1.0.conv1.weight"), Some(1));
//! let rates = groups.discriminative(2.0)?;
//! assert_eq!(rates.iter().map(|rate| rate.lr).collect::<Vec<_>>(), [0.125, 0.25, 0.5, 1.0]);
//!
//! let no_decay = [ParamGroup::no_decay_on_bias_and_norm()];
//! let optimizer = Optimizer::new(OptimizerConfig::sgd())?
//!     .with_groups(groups.param_groups(&rates, &no_decay)?)?;
//! # Ok::<(), onecycle_burn::BurnError>(())
//! ```

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;
use onecycle::GroupScale;

use crate::{
    BurnError,
    freeze::{self, NormStatistics},
    optim::{ParamGroup, Select},
    state::ModulePath,
};

/// The layers of a module in groups, from the input to the output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerGroups {
    /// Paths of the modules of each group.
    groups: Vec<Vec<String>>,
    norms: NormStatistics,
}

impl LayerGroups {
    /// Groups of layers, the one nearest to the input first. Each group has the paths of its modules
    /// with `|` between them, such as `conv1|bn1`. A path includes everything below it: `layer1` has
    /// `layer1.0.conv1.weight`. If several groups have a parameter, the first one counts.
    ///
    /// # Errors
    /// [`BurnError::LayerGroup`] if there is no group, or a group has an empty path.
    pub fn new<G: AsRef<str>>(groups: impl IntoIterator<Item = G>) -> Result<Self, BurnError> {
        let paths = |group: G| {
            group
                .as_ref()
                .split('|')
                .map(|path| path.trim().to_owned())
                .collect()
        };
        let groups: Vec<Vec<String>> = groups.into_iter().map(paths).collect();
        let wrong = |group: String, why| Err(BurnError::LayerGroup { group, why });
        if groups.is_empty() {
            return wrong(String::new(), "expected at least one group of layers");
        }
        if let Some(group) = groups
            .iter()
            .find(|paths| paths.iter().any(String::is_empty))
        {
            let why = "expected paths of modules with `|` between them, such as `conv1|bn1`";
            return wrong(group.join("|"), why);
        }
        Ok(LayerGroups {
            groups,
            norms: NormStatistics::Batch,
        })
    }

    /// Chooses by which statistics the batch norms of trained groups normalise; by those of the
    /// batch unless chosen. Those of frozen groups always use their running statistics.
    #[must_use]
    pub fn with_norms(self, norms: NormStatistics) -> Self {
        LayerGroups { norms, ..self }
    }

    /// Number of groups, at least 1.
    #[allow(clippy::len_without_is_empty)] // There is no empty one.
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// Names of the groups, as in [`new`](Self::new).
    pub fn names(&self) -> impl Iterator<Item = String> {
        self.groups.iter().map(|paths| paths.join("|"))
    }

    /// Index of the group of a parameter with this path, from 0 at the input.
    pub fn of(&self, path: &str) -> Option<usize> {
        self.groups.iter().position(|paths| is_below(paths, path))
    }

    /// Checks that every parameter of `model` is in a group, and that no group is empty.
    ///
    /// # Errors
    /// [`BurnError::LayerGroup`] with the group or the parameter.
    pub fn check<M: Module>(&self, model: &M) -> Result<(), BurnError> {
        let mut reader = GroupReader {
            groups: self,
            path: ModulePath::default(),
            counts: vec![0; self.len()],
            without: None,
        };
        model.visit(&mut reader);
        let (counts, without) = (reader.counts, reader.without);
        if let Some(group) = without {
            let why =
                "this parameter of the module is in no group of layers; add its module to one";
            return Err(BurnError::LayerGroup { group, why });
        }
        match self.names().zip(counts).find(|(_, count)| *count == 0) {
            None => Ok(()),
            Some((group, _)) => Err(BurnError::LayerGroup {
                group,
                why: "no parameter of the module is in this group of layers, or earlier groups \
                    have them; check its paths",
            }),
        }
    }

    /// Factors on the learning rate of each group: the last group has the full rate, each group
    /// before it `1 / ratio` of the next one's (Howard & Ruder 2018, section 3.2, with `ratio` 2.6).
    ///
    /// # Errors
    /// [`BurnError::Policy`] unless `ratio` is positive and finite.
    pub fn discriminative(&self, ratio: f64) -> Result<Vec<GroupScale>, BurnError> {
        Ok(GroupScale::discriminative(self.len(), ratio)?)
    }

    /// Factors on the learning rate of each group, rising geometrically from `lowest` at the first
    /// group to 1 at the last, as fastai spreads `slice(lowest * lr, lr)` (`even_mults`; its
    /// `fine_tune` uses 0.01). A single group has the full rate.
    ///
    /// # Errors
    /// [`BurnError::Policy`] unless `lowest` is positive and finite.
    pub fn spread(&self, lowest: f64) -> Result<Vec<GroupScale>, BurnError> {
        let steps = (self.len() - 1).max(1);
        self.discriminative(lowest.powf(-1.0 / steps as f64))
    }

    /// Parameter groups with one factor per group of layers, on top of the parameter groups
    /// `others`: a parameter takes the product of both factors, and of `others` the first group that
    /// matches it counts.
    ///
    /// # Errors
    /// [`BurnError::LayerGroup`] if `scales` has more or fewer factors than there are groups.
    pub fn param_groups(
        &self,
        scales: &[GroupScale],
        others: &[ParamGroup],
    ) -> Result<Vec<ParamGroup>, BurnError> {
        if scales.len() != self.len() {
            return Err(BurnError::LayerGroup {
                group: self.names().collect::<Vec<_>>().join(", "),
                why: "expected one factor on the learning rate for each group of layers",
            });
        }
        let mut found = Vec::new();
        for (paths, scale) in self.groups.iter().zip(scales) {
            let modules = Select::Modules(paths.clone());
            for other in others {
                found.push(ParamGroup {
                    select: Select::All(vec![modules.clone(), other.select.clone()]),
                    scale: GroupScale {
                        lr: scale.lr * other.scale.lr,
                        weight_decay: scale.weight_decay * other.scale.weight_decay,
                    },
                });
            }
            found.push(ParamGroup {
                select: modules,
                scale: *scale,
            });
        }
        // For parameters that are in no group of layers.
        found.extend(others.iter().cloned());
        Ok(found)
    }

    /// Freezes the first `frozen` groups and trains the others, like fastai's `freeze_to`. Layers
    /// outside all groups stay as they are. See [`freeze`] for the meaning of frozen.
    pub fn freeze_to<M: Module>(&self, model: M, frozen: usize) -> M {
        let is_frozen = |path: &str| self.of(path).is_some_and(|group| group < frozen);
        let trains = |path: &str| self.of(path).is_some_and(|group| group >= frozen);
        let model = freeze::freeze_layers(model, is_frozen);
        freeze::switch(model, true, self.norms, trains)
    }
}

/// Whether one of the modules `paths` has the parameter `path`.
fn is_below(paths: &[String], path: &str) -> bool {
    Select::Modules(paths.to_vec()).matches(path, 0)
}

/// Counts the parameters of each group.
struct GroupReader<'a> {
    groups: &'a LayerGroups,
    path: ModulePath,
    counts: Vec<usize>,
    /// First parameter without a group.
    without: Option<String>,
}

impl ModuleVisitor for GroupReader<'_> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, container_type: &str) {
        self.path.exit(container_type);
    }

    fn visit_float<const D: usize>(&mut self, _param: &Param<Tensor<D>>) {
        let path = self.path.joined();
        match self.groups.of(&path) {
            Some(group) => self.counts[group] += 1,
            None => drop(self.without.get_or_insert(path)),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A failed unwrap is a failed test.
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::nn::{BatchNorm2d, Linear};

    #[derive(Module, Debug)]
    struct Net {
        bn1: BatchNorm2d,
        bn10: BatchNorm2d,
        fc: Linear,
    }

    fn net() -> Net {
        let device = Device::flex().autodiff();
        Net {
            bn1: BatchNorm2d::new(1, &device),
            bn10: BatchNorm2d::new(2, &device),
            fc: Linear::new(2, 3, &mut crate::rng(1), &device),
        }
    }

    fn rates(scales: &[GroupScale]) -> Vec<f64> {
        scales.iter().map(|scale| scale.lr).collect()
    }

    #[test]
    fn paths_end_at_modules() {
        let groups = LayerGroups::new(["bn1", "bn10 | fc"]).unwrap();
        assert_eq!(groups.len(), 2);
        assert_eq!(groups.of("bn1.weight"), Some(0));
        assert_eq!(groups.of("bn10.weight"), Some(1));
        assert_eq!(groups.of("fc"), Some(1));
        assert_eq!(groups.of("fc2.weight"), None);
        groups.check(&net()).unwrap();
    }

    #[test]
    fn wrong_groups_are_named() {
        let error = |groups: &[&str]| {
            let made = LayerGroups::new(groups).and_then(|groups| groups.check(&net()));
            made.unwrap_err().to_string()
        };
        assert!(error(&[]).contains("at least one"));
        assert!(error(&["bn1||fc"]).contains("`bn1||fc`"));
        assert!(error(&["bn1", "fc"]).contains("`bn10.weight`"));
        assert!(error(&["bn1", "bn10", "fc", "head"]).contains("`head`"));
        // The parameters of the second group belong to the first.
        assert!(error(&["bn1|bn10|fc", "fc"]).contains("`fc`"));
    }

    /// 2.6^-2 and 2.6^-1; 0.01^(2/2), 0.01^(1/2), 0.01^0.
    #[test]
    fn rates_grow_geometrically() {
        let groups = LayerGroups::new(["bn1", "bn10", "fc"]).unwrap();
        let near = |found: Vec<f64>, known: [f64; 3]| {
            for (found, known) in found.iter().zip(known) {
                assert!((found - known).abs() < 1e-12, "{found} for {known}");
            }
        };
        let scales = groups.discriminative(2.6).unwrap();
        near(rates(&scales), [1.0 / 6.76, 1.0 / 2.6, 1.0]);
        near(rates(&groups.spread(0.01).unwrap()), [0.01, 0.1, 1.0]);
        let single = LayerGroups::new(["bn1|bn10|fc"]).unwrap();
        assert_eq!(rates(&single.spread(0.01).unwrap()), [1.0]);
        assert!(groups.discriminative(0.0).is_err());
        assert!(groups.spread(f64::NAN).is_err());
    }

    #[test]
    fn factors_multiply() {
        let groups = LayerGroups::new(["bn1", "bn10|fc"]).unwrap();
        let others = [
            ParamGroup::no_decay_on_bias_and_norm(),
            ParamGroup::prefix("fc", 3.0, 0.5),
        ];
        let scales = groups.discriminative(4.0).unwrap();
        let found = groups.param_groups(&scales, &others).unwrap();
        let of = |path: &str, rank| {
            let group = found.iter().find(|group| group.matches(path, rank));
            group.map(|group| (group.scale.lr, group.scale.weight_decay))
        };
        assert_eq!(of("bn1.weight", 1), Some((0.25, 0.0)));
        assert_eq!(of("bn1.weight", 4), Some((0.25, 1.0)));
        assert_eq!(of("fc.bias", 1), Some((1.0, 0.0)));
        assert_eq!(of("fc.weight", 2), Some((3.0, 0.5)));
        assert_eq!(of("other.bias", 1), Some((1.0, 0.0)));
        assert_eq!(of("other.weight", 2), None);
        assert!(groups.param_groups(&scales[1..], &[]).is_err());
    }

    #[test]
    fn the_first_groups_freeze() {
        let groups = LayerGroups::new(["bn1", "bn10", "fc"]).unwrap();
        let count = |net: &Net| crate::state::trained_parameters(net);
        let net = groups.freeze_to(net(), 2);
        assert_eq!(count(&net), 2 * 3 + 3);
        assert!(!net.bn10.training.is_enabled());
        let net = groups.freeze_to(net, 1);
        assert_eq!(count(&net), 2 * 3 + 3 + 4);
        assert!(net.bn10.training.is_enabled() && !net.bn1.training.is_enabled());
        // Scale and shift train, the statistics stay.
        let still = groups.with_norms(NormStatistics::Running);
        let net = still.freeze_to(net, 0);
        assert_eq!(count(&net), 2 * 3 + 3 + 4 + 2);
        assert!(!net.bn10.training.is_enabled() && !net.bn1.training.is_enabled());
    }
}
