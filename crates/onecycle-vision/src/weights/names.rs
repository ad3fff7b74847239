//! Names of parameters in files of other libraries: [`Naming`].

use std::collections::{BTreeMap, BTreeSet};

/// Translation of the names in a file into those of a network.
///
/// The networks have torchvision's names (`resnet18`, `resnet34`, `resnet50`) and timm's
/// (`efficientnet-lite0`). timm's ResNets have torchvision's names. Two more are recognised:
///
/// - a prefix of all names, as wrappers add it: `module.conv1.weight` and the like;
/// - EfficientNet-PyTorch: `_blocks.1._expand_conv.weight` is `blocks.1.0.conv_pw.weight`.
///
/// ```
/// use onecycle_vision::weights::Naming;
///
/// let network = ["conv1.weight".to_owned(), "fc.bias".to_owned()].into();
/// let naming = Naming::of(["module.conv1.weight", "module.fc.bias"], &network);
/// assert_eq!(naming.rename("module.fc.bias"), "fc.bias");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Naming {
    /// Removed from the beginning of each name that has it.
    prefix: &'static str,
    /// Names of EfficientNet-PyTorch and those of the network; empty for other files.
    efficientnet: BTreeMap<String, String>,
}

/// Prefixes that wrappers of networks add: none, PyTorch's data parallelism, and common fields of
/// training code.
const PREFIXES: [&str; 5] = ["", "module.", "model.", "backbone.", "encoder."];

impl Naming {
    /// The naming of a file with the names `found`, for a network with the names `network`: the one
    /// by which most names fit.
    pub fn of<'a>(found: impl IntoIterator<Item = &'a str>, network: &BTreeSet<String>) -> Self {
        let found: Vec<&str> = found.into_iter().collect();
        let efficientnet = efficientnet_pytorch(network);
        let mut best = (0, Naming::identity());
        for prefix in PREFIXES {
            for efficientnet in [BTreeMap::new(), efficientnet.clone()] {
                let naming = Naming {
                    prefix,
                    efficientnet,
                };
                let fits = |name: &&&str| network.contains(&naming.rename(name));
                let fitting = found.iter().filter(fits).count();
                if fitting > best.0 {
                    best = (fitting, naming);
                }
            }
        }
        best.1
    }

    /// The naming of a file with the network's own names.
    pub fn identity() -> Self {
        Naming {
            prefix: "",
            efficientnet: BTreeMap::new(),
        }
    }

    /// The network's name for a name in the file. A name that the naming does not know stays as it
    /// is.
    pub fn rename(&self, name: &str) -> String {
        let name = name.strip_prefix(self.prefix).unwrap_or(name);
        let Some((module, tensor)) = name.rsplit_once('.') else {
            return name.to_owned();
        };
        match self.efficientnet.get(module) {
            None => name.to_owned(),
            Some(module) => format!("{module}.{tensor}"),
        }
    }

    /// Name of the network that a file with these names is of, one of
    /// [`Architecture`](crate::models::Architecture); `None` if it is none of those with published
    /// weights.
    pub fn network<'a>(found: impl IntoIterator<Item = &'a str>) -> Option<&'static str> {
        let found: Vec<&str> = found.into_iter().collect();
        let has = |module: &str| {
            found.iter().any(|name| {
                let at = PREFIXES.iter().find_map(|prefix| {
                    let rest = name.strip_prefix(prefix)?.strip_prefix(module)?;
                    rest.starts_with('.').then_some(())
                });
                at.is_some()
            })
        };
        if has("_conv_stem") {
            // EfficientNet-PyTorch only has weights that were converted from TensorFlow.
            return Some("tf-efficientnet-lite0");
        }
        if has("conv_stem") && has("blocks.6.0.conv_pwl") {
            return Some("efficientnet-lite0");
        }
        if !has("layer4.1.conv2") || !has("conv1") {
            return None;
        }
        match (
            has("layer1.0.conv3"),
            has("layer3.5.conv2"),
            has("layer3.6.conv2"),
        ) {
            (true, true, false) => Some("resnet50"),
            (false, true, false) => Some("resnet34"),
            (false, false, false) => Some("resnet18"),
            _ => None,
        }
    }
}

/// The modules of EfficientNet-PyTorch and those of an EfficientNet with the names `network`; empty
/// for another network. EfficientNet-PyTorch numbers the blocks of all stages.
fn efficientnet_pytorch(network: &BTreeSet<String>) -> BTreeMap<String, String> {
    if !network.contains("conv_stem.weight") {
        return BTreeMap::new();
    }
    let blocks: BTreeSet<(usize, usize)> = network
        .iter()
        .filter_map(|name| {
            let mut parts = name.strip_prefix("blocks.")?.split('.');
            let mut number = || parts.next()?.parse().ok();
            Some((number()?, number()?))
        })
        .collect();
    let mut modules = BTreeMap::new();
    let mut add = |from: String, to: String| modules.insert(from, to);
    for (from, to) in [
        ("_conv_stem", "conv_stem"),
        ("_bn0", "bn1"),
        ("_conv_head", "conv_head"),
        ("_bn1", "bn2"),
        ("_fc", "classifier"),
    ] {
        add(from.to_owned(), to.to_owned());
    }
    for (index, (stage, block)) in blocks.into_iter().enumerate() {
        let block = format!("blocks.{stage}.{block}");
        let expands = network.contains(&format!("{block}.conv_pwl.weight"));
        let layers: &[(&str, &str)] = match expands {
            true => &[
                ("_expand_conv", "conv_pw"),
                ("_bn0", "bn1"),
                ("_depthwise_conv", "conv_dw"),
                ("_bn1", "bn2"),
                ("_project_conv", "conv_pwl"),
                ("_bn2", "bn3"),
            ],
            false => &[
                ("_depthwise_conv", "conv_dw"),
                ("_bn1", "bn1"),
                ("_project_conv", "conv_pw"),
                ("_bn2", "bn2"),
            ],
        };
        for (from, to) in layers {
            add(format!("_blocks.{index}.{from}"), format!("{block}.{to}"));
        }
    }
    modules
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    const EFFICIENTNET: [&str; 9] = [
        "conv_stem.weight",
        "bn1.bias",
        "blocks.0.0.conv_dw.weight",
        "blocks.0.0.bn2.weight",
        "blocks.1.0.conv_pwl.weight",
        "blocks.1.0.bn1.running_var",
        "blocks.1.1.conv_pwl.weight",
        "bn2.weight",
        "classifier.bias",
    ];

    #[test]
    fn names_of_efficientnet_pytorch_are_translated() {
        let found = [
            "_conv_stem.weight",
            "_bn0.bias",
            "_blocks.0._depthwise_conv.weight",
            "_blocks.0._bn2.weight",
            "_blocks.1._project_conv.weight",
            "_blocks.1._bn0.running_var",
            "_blocks.2._project_conv.weight",
            "_bn1.weight",
            "_fc.bias",
        ];
        for prefix in ["", "module."] {
            let found = found.map(|name| format!("{prefix}{name}"));
            let naming = Naming::of(found.iter().map(String::as_str), &network(&EFFICIENTNET));
            let renamed: Vec<String> = found.iter().map(|name| naming.rename(name)).collect();
            assert_eq!(renamed, EFFICIENTNET);
        }
    }

    #[test]
    fn own_names_and_unknown_ones_stay() {
        let known = network(&["conv1.weight", "model.weight"]);
        let naming = Naming::of(["conv1.weight", "model.weight", "other"], &known);
        assert_eq!(naming, Naming::identity());
        assert_eq!(naming.rename("model.weight"), "model.weight");
        assert_eq!(Naming::of(["x.y"], &known).rename("x.y"), "x.y");
        assert_eq!(
            Naming::of(["conv_stem.weight"], &network(&EFFICIENTNET)),
            Naming::identity()
        );
    }

    #[test]
    fn networks_are_recognised() {
        let resnet = |more: &[&'static str]| {
            let common = ["conv1.weight", "layer4.1.conv2.weight"];
            Naming::network(common.into_iter().chain(more.iter().copied()))
        };
        assert_eq!(resnet(&[]), Some("resnet18"));
        assert_eq!(resnet(&["layer3.5.conv2.weight"]), Some("resnet34"));
        let resnet50 = ["layer1.0.conv3.weight", "layer3.5.conv2.weight"];
        assert_eq!(resnet(&resnet50), Some("resnet50"));
        // 101 layers.
        assert_eq!(
            resnet(&[resnet50[0], resnet50[1], "layer3.6.conv2.weight"]),
            None
        );
        let lite = ["module._conv_stem.weight"];
        assert_eq!(Naming::network(lite), Some("tf-efficientnet-lite0"));
        let lite = ["conv_stem.weight", "blocks.6.0.conv_pwl.weight"];
        assert_eq!(Naming::network(lite), Some("efficientnet-lite0"));
        assert_eq!(Naming::network(["fc1.weight"]), None);
    }
}
