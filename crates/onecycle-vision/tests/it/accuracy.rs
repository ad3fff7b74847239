//! Accuracy is that of the network in evaluation mode, which stays as it is.

use burn::{
    module::Module,
    tensor::{Device, Tensor},
};
use onecycle_burn::state;
use onecycle_vision::{
    Augment, DataError, ImageShape, Loader, Network, Split, Statistics, accuracy,
    models::{Architecture, Model},
    random,
};

const SHAPE: ImageShape = ImageShape::new(1, 12, 12);
const COUNT: usize = 50;

/// Random images of three classes, not augmented.
fn loader() -> Loader {
    let mut rng = random::stream(1, "images", 0);
    let pixels = (0..COUNT * SHAPE.len()).map(|_| random::below(&mut rng, 256) as u8);
    let labels = (0..COUNT as u32).map(|i| i % 3).collect();
    let split = Split::new(SHAPE, pixels.collect(), labels).unwrap();
    let statistics = Statistics::of(&split);
    Loader::new(split, &statistics, Augment::default(), 0).unwrap()
}

#[test]
fn a_network_with_batch_norm_is_evaluated_and_not_changed() {
    let mut rng = random::stream(1, "init", 0);
    let architecture = Architecture::ConvNet { batch_norm: true };
    let device = Device::flex().autodiff();
    let model = Model::new(architecture, SHAPE, 3, &mut rng, &device).unwrap();
    let before = state::weights(&model);
    let loader = loader();
    let found = accuracy(&model, loader.evaluation(20)).unwrap();
    assert_eq!(state::weights(&model), before);

    let (evaluated, mut correct) = (model.valid(), 0);
    for batch in loader.evaluation(COUNT) {
        let (images, labels) = batch.unwrap().tensors(&Device::flex());
        let predicted: Tensor<1, burn::tensor::Int> = Network::forward(&evaluated, images)
            .argmax(1)
            .reshape([COUNT]);
        let predicted: Vec<i64> = predicted.into_data().iter().collect();
        let labels: Vec<i64> = labels.into_data().iter().collect();
        correct += predicted
            .iter()
            .zip(&labels)
            .filter(|(a, b)| a == b)
            .count();
    }
    assert!((1..COUNT).contains(&correct), "{correct}");
    assert_eq!(found, correct as f64 / COUNT as f64);
}

/// A network without parameters: the brighter half of the image decides.
#[derive(Module, Debug)]
struct Brighter;

impl Network for Brighter {
    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let [batch, ..] = images.dims();
        let halves: Tensor<3> = images.reshape([batch, 2, SHAPE.len() / 2]);
        halves.sum_dim(2).reshape([batch, 2])
    }
}

#[test]
fn a_module_of_your_own_is_a_network() {
    let half = [[255_u8; 72], [0; 72]];
    let pixels = (0..4).flat_map(|i| [half[i % 2], half[(i + 1) % 2]].concat());
    // The last label is wrong.
    let split = Split::new(SHAPE, pixels.collect(), vec![0, 1, 0, 0]).unwrap();
    let statistics = Statistics::of(&split);
    let loader = Loader::new(split, &statistics, Augment::default(), 0).unwrap();
    assert_eq!(accuracy(&Brighter, loader.evaluation(3)).unwrap(), 0.75);
    let none = accuracy(&Brighter, loader.evaluation(3).images(vec![])).unwrap();
    assert!(none.is_nan());
    let error = accuracy(&Brighter, loader.evaluation(0)).unwrap_err();
    assert!(matches!(error, DataError::BatchSize { batch: 0 }));
}
