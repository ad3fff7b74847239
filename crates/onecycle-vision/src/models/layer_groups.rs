//! The parameters of a network, divided by depth. Fine-tuning freezes the first groups or trains them
//! with smaller learning rates (Howard & Ruder 2018, "Universal language model fine-tuning for text
//! classification", section 3.2).

use super::Architecture;

/// Layers of about the same depth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerGroup {
    /// Short name, for tables: that of the most important layer.
    pub name: &'static str,
    /// Paths of its modules, such as `layer1` or `blocks.0`.
    pub modules: &'static [&'static str],
}

impl LayerGroup {
    /// Whether a parameter or running statistic with this path, such as `blocks.0.1.bn1.weight`,
    /// belongs to the group.
    pub fn contains(&self, path: &str) -> bool {
        self.modules.iter().any(|module| {
            let rest = path.strip_prefix(module);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    }
}

const fn group(name: &'static str, modules: &'static [&'static str]) -> LayerGroup {
    LayerGroup { name, modules }
}

const MLP: &[LayerGroup] = &[
    group("fc1", &["fc1"]),
    group("fc2", &["fc2"]),
    group("fc3", &["fc3"]),
];

const LENET5: &[LayerGroup] = &[
    group("conv1", &["conv1"]),
    group("conv2", &["conv2"]),
    group("fc1", &["fc1"]),
    group("fc2", &["fc2"]),
    group("fc3", &["fc3"]),
];

const CAFFE_LENET: &[LayerGroup] = &[
    group("conv1", &["conv1"]),
    group("conv2", &["conv2"]),
    group("fc1", &["fc1"]),
    group("fc2", &["fc2"]),
];

const CONVNET: &[LayerGroup] = &[
    group("conv1", &["conv1", "bn1"]),
    group("conv2", &["conv2", "bn2"]),
    group("conv3", &["conv3", "bn3"]),
    group("fc", &["fc"]),
];

const RESNET: &[LayerGroup] = &[
    group("conv1", &["conv1", "bn1"]),
    group("stage1", &["stage1"]),
    group("stage2", &["stage2"]),
    group("stage3", &["stage3"]),
    group("fc", &["fc"]),
];

const RESNET9: &[LayerGroup] = &[
    group("prep", &["prep"]),
    group("layer1", &["layer1", "residual1"]),
    group("layer2", &["layer2"]),
    group("layer3", &["layer3", "residual3"]),
    group("fc", &["fc"]),
];

const AIRBENCH94: &[LayerGroup] = &[
    group("whiten", &["whiten"]),
    group("group1", &["group1"]),
    group("group2", &["group2"]),
    group("group3", &["group3"]),
    group("fc", &["fc"]),
];

const IMAGENET_RESNET: &[LayerGroup] = &[
    group("conv1", &["conv1", "bn1"]),
    group("layer1", &["layer1"]),
    group("layer2", &["layer2"]),
    group("layer3", &["layer3"]),
    group("layer4", &["layer4"]),
    group("fc", &["fc"]),
];

const EFFICIENTNET_LITE0: &[LayerGroup] = &[
    group("conv_stem", &["conv_stem", "bn1"]),
    group("blocks.0", &["blocks.0"]),
    group("blocks.1", &["blocks.1"]),
    group("blocks.2", &["blocks.2"]),
    group("blocks.3", &["blocks.3"]),
    group("blocks.4", &["blocks.4"]),
    group("blocks.5", &["blocks.5"]),
    group("blocks.6", &["blocks.6"]),
    group("conv_head", &["conv_head", "bn2"]),
    group("classifier", &["classifier"]),
];

impl Architecture {
    /// The parameters of the network in groups by depth, from the first layer to the last. The last
    /// group is the head: the linear layer after the features, see
    /// [`Model::classify`](super::Model::classify). Each parameter belongs to one group.
    ///
    /// ```
    /// use onecycle_vision::models::Architecture;
    ///
    /// let groups = Architecture::ResNet18.layer_groups();
    /// let depth = |path: &str| groups.iter().position(|group| group.contains(path));
    /// assert_eq!(depth("bn1.weight"), Some(0));
    /// assert_eq!(depth("layer1.0.bn1.weight"), Some(1));
    /// assert_eq!(depth("fc.bias"), Some(groups.len() - 1));
    /// ```
    pub fn layer_groups(self) -> &'static [LayerGroup] {
        match self {
            Architecture::LeNet5 => LENET5,
            Architecture::CaffeLeNet => CAFFE_LENET,
            Architecture::ConvNet { .. } => CONVNET,
            Architecture::Mlp => MLP,
            Architecture::ResNetSmall | Architecture::ResNet { .. } => RESNET,
            Architecture::ResNet9 => RESNET9,
            Architecture::Airbench94 => AIRBENCH94,
            Architecture::ResNet18 | Architecture::ResNet34 | Architecture::ResNet50 => {
                IMAGENET_RESNET
            }
            Architecture::EfficientNetLite0 | Architecture::TfEfficientNetLite0 => {
                EFFICIENTNET_LITE0
            }
        }
    }
}
