//! Numbers of parameters counted by hand, and the smallest images that each network accepts.

use burn::{
    module::{Module, ModuleVisitor, Param},
    optim::GradientsParams,
    tensor::{Device, Distribution, Tensor},
};
use onecycle_burn::state;
use onecycle_vision::{
    ImageShape,
    models::{Architecture, Model, ModelError},
    random,
};

const CLASSES: usize = 10;

fn build(name: &str, shape: ImageShape) -> Result<Model, ModelError> {
    let mut rng = random::stream(1, "init", 0);
    Model::new(name.parse()?, shape, CLASSES, &mut rng, &Device::flex())
}

#[test]
fn numbers_of_parameters_are_those_counted_by_hand() {
    let mnist = ImageShape::new(1, 28, 28);
    let cifar = ImageShape::new(3, 32, 32);
    let photo = ImageShape::new(3, 45, 64);
    let cases = [
        // 5 x 5 windows: 6 (1 x 25 + 1), 16 (6 x 25 + 1); units: 120 (400 + 1), 84 (120 + 1), 10
        // (84 + 1).
        ("lenet5", mnist, 61_706),
        // 20 (25 + 1), 50 (20 x 25 + 1), 500 (800 + 1), 10 (500 + 1).
        ("lenet-caffe", mnist, 431_080),
        // 256 (784 + 1), 128 (256 + 1), 10 (128 + 1).
        ("mlp", mnist, 235_146),
        // Convolutions 16 (27), 32 (16 x 9), 64 (32 x 9), each channel with scale and shift, 10 (64
        // + 1).
        ("convnet", cifar, 24_346),
        // The same with a bias per channel instead of scale and shift.
        ("convnet-plain", cifar, 24_234),
        // Stem 32 (9 + 2); blocks 32 (2 x 32 x 9 + 4), 64 (96 x 9 + 32 + 6), 128 (192 x 9 + 64 +
        // 6); 10 (128 + 1).
        ("resnet-small", mnist, 308_074),
        // Stem 16 (27 + 2); blocks 16 (2 x 16 x 9 + 4), 32 (48 x 9 + 16 + 6), 64 (96 x 9 + 32 + 6);
        // 10 (64 + 1).
        ("resnet8", cifar, 78_042),
        // Each further block per stage: 16 (292) + 32 (2 x 32 x 9 + 4) + 64 (2 x 64 x 9 + 4) = 97
        // 216.
        ("resnet20", cifar, 78_042 + 2 * 97_216),
        ("resnet32", cifar, 78_042 + 4 * 97_216),
        ("resnet44", cifar, 78_042 + 6 * 97_216),
        ("resnet56", cifar, 78_042 + 8 * 97_216),
        ("resnet110", cifar, 78_042 + 17 * 97_216),
        // 64 (27 + 2), 128 (64 x 9 + 2), 2 x 128 (128 x 9 + 2), 256 (128 x 9 + 2), 512 (256 x 9 +
        // 2), 2 x 512 (512 x 9 + 2), 10 (512 + 1).
        ("resnet9", cifar, 6_573_130),
        // Whitening 24; groups 64 (24 x 9 + 64 x 9 + 2), 256 (64 x 9 + 256 x 9 + 2), 256 (2 x 256 x 9
        // + 2); 256 x 10. Stored, but fixed: filters 24 (12), scales 2 (64 + 256 + 256).
        ("airbench94", cifar, 1_971_352 + 288 + 1152),
        // torchvision's and timm's numbers for 1000 classes, less 990 classes of 512, 2048 or 1280
        // weights and a bias.
        ("resnet18", photo, 11_689_512 - 990 * 513),
        ("resnet34", photo, 21_797_672 - 990 * 513),
        ("resnet50", photo, 25_557_032 - 990 * 2049),
        ("efficientnet-lite0", photo, 4_652_008 - 990 * 1281),
        ("tf-efficientnet-lite0", photo, 4_652_008 - 990 * 1281),
    ];
    assert_eq!(cases.len(), Architecture::names().count());
    for (name, shape, parameters) in cases {
        let weights = state::weights(&build(name, shape).unwrap());
        let trainable = weights
            .iter()
            .filter(|(name, _)| !name.contains("running_"));
        let count: usize = trainable.map(|(_, data)| data.num_elements()).sum();
        assert_eq!(count, parameters, "{name}");
    }
}

#[test]
fn each_network_accepts_its_smallest_image_and_refuses_smaller_ones() {
    for name in Architecture::names() {
        let side = name.parse::<Architecture>().unwrap().min_side();
        let model = build(name, ImageShape::new(3, side, side)).unwrap();
        let images = Tensor::<4>::random(
            [2, 3, side, side],
            Distribution::Uniform(-1.0, 1.0),
            &Device::flex(),
        );
        let logits = model.forward(images);
        assert_eq!(logits.dims(), [2, CLASSES], "{name}");
        let sum: f32 = logits.abs().sum().into_scalar();
        assert!(sum.is_finite() && sum > 0.0, "{name}: {sum}");
        if side > 1 {
            let refused = build(name, ImageShape::new(3, side, side - 1)).unwrap_err();
            assert!(refused.to_string().contains(name), "{refused}");
        }
    }
}

/// Every parameter and running statistic is in one group. The groups follow the order of the layers,
/// and the last contains exactly the parameters that `classify` uses.
#[test]
fn layer_groups_divide_the_parameters_by_depth() {
    for name in Architecture::names() {
        let architecture: Architecture = name.parse().unwrap();
        let side = architecture.min_side().max(12);
        let model = build(name, ImageShape::new(3, side, side)).unwrap();
        let groups = architecture.layer_groups();
        let depth = |path: &str| {
            let mut found = groups.iter().enumerate();
            let first = found.find(|(_, group)| group.contains(path));
            assert!(
                found.all(|(_, group)| !group.contains(path)),
                "{name}: {path}"
            );
            first
                .unwrap_or_else(|| panic!("{name}: {path} is in no group"))
                .0
        };
        let depths: Vec<usize> = state::shapes(&model)
            .iter()
            .map(|(path, _)| depth(path))
            .collect();
        let first_of = |group: usize| depths.iter().position(|depth| *depth == group);
        let firsts: Vec<_> = (0..groups.len()).map(first_of).collect();
        assert!(firsts.iter().all(Option::is_some), "{name}: an empty group");
        assert!(firsts.is_sorted(), "{name}: {firsts:?}");

        let head = groups.last().unwrap();
        let device = Device::flex().autodiff();
        let mut rng = random::stream(1, "init", 0);
        let shape = ImageShape::new(3, side, side);
        let model = Model::new(architecture, shape, CLASSES, &mut rng, &device).unwrap();
        let features = Tensor::<2>::ones([2, model.feature_count()], &device);
        let grads = model.classify(features).sum().backward();
        let mut trained = Trained {
            grads: GradientsParams::from_grads(grads, &model),
            path: Vec::new(),
            found: Vec::new(),
        };
        model.visit(&mut trained);
        let weights = state::weights(&model);
        let of_head = weights.keys().filter(|path| head.contains(path));
        let mut found = trained.found;
        found.sort();
        assert_eq!(found, of_head.cloned().collect::<Vec<_>>(), "{name}");
    }
}

/// Collects the paths of parameters that have a gradient.
struct Trained {
    grads: GradientsParams,
    path: Vec<String>,
    found: Vec<String>,
}

impl ModuleVisitor for Trained {
    fn enter_module(&mut self, name: &str, container: &str) {
        if !container.starts_with("Enum:") {
            self.path.push(name.to_owned());
        }
    }

    fn exit_module(&mut self, _name: &str, container: &str) {
        if !container.starts_with("Enum:") {
            self.path.pop();
        }
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.grads.get::<D>(param.id).is_some() {
            self.found.push(self.path.join("."));
        }
    }
}

/// The two parts of a network give the bits of the whole, with 512, 2048 or 1280 features.
#[test]
fn features_and_classify_are_the_two_parts_of_forward() {
    for (name, features) in [
        ("lenet5", 84),
        ("lenet-caffe", 500),
        ("mlp", 128),
        ("convnet", 64),
        ("resnet20", 64),
        ("resnet-small", 128),
        ("resnet9", 512),
        ("airbench94", 256),
        ("resnet18", 512),
        ("resnet34", 512),
        ("resnet50", 2048),
        ("efficientnet-lite0", 1280),
        ("tf-efficientnet-lite0", 1280),
    ] {
        let shape = ImageShape::new(3, 33, 40);
        let model = build(name, shape).unwrap();
        let images = Tensor::<4>::random(
            [3, 3, 33, 40],
            Distribution::Uniform(-1.0, 1.0),
            &Device::flex(),
        );
        let parts = model.features(images.clone());
        assert_eq!(parts.dims(), [3, features], "{name}");
        assert_eq!(model.feature_count(), features, "{name}");
        let logits = model.forward(images).into_data();
        assert_eq!(model.classify(parts).into_data(), logits, "{name}");
    }
}
