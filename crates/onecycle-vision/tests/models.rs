//! The zoo: sizes that are known by hand, and the smallest images.

// A test that cannot build its network should say where.
#![allow(clippy::unwrap_used)]

use burn::{
    module::Module,
    tensor::{Device, Distribution, Tensor},
};
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
fn parameters_are_those_counted_by_hand() {
    let cases = [
        // 5 x 5 windows: 6 (1 x 25 + 1), 16 (6 x 25 + 1); units: 120 (400 + 1), 84 (120 + 1), 10 (84 + 1).
        ("lenet5", 61_706),
        // 20 (25 + 1), 50 (20 x 25 + 1), 500 (800 + 1), 10 (500 + 1).
        ("lenet-caffe", 431_080),
        // 256 (784 + 1), 128 (256 + 1), 10 (128 + 1).
        ("mlp", 235_146),
    ];
    for (name, parameters) in cases {
        let model = build(name, ImageShape::new(1, 28, 28)).unwrap();
        assert_eq!(model.num_params(), parameters, "{name}");
    }
}

#[test]
fn every_network_takes_its_smallest_image_and_refuses_less() {
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
