//! Freezing, rates by depth and gradual unfreezing, in training.

use burn::{
    module::Module,
    tensor::{Device, Int, Tensor},
};
use onecycle::Hyper;
use onecycle_burn::{
    BurnError, Optimizer, OptimizerConfig,
    freeze::NormStatistics,
    layer_groups::LayerGroups,
    nn::{
        BatchNorm2d, Conv2d, Conv2dShape, ConvNorm, Init, Linear, cross_entropy,
        global_average_pool2d,
    },
    optim::ParamGroup,
    state::{self, TensorMap},
    training_step,
    unfreezing::GradualUnfreezing,
};

#[derive(Module, Debug)]
struct Net {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    conv2: Conv2d,
    bn2: BatchNorm2d,
    fc: Linear,
}

impl Net {
    fn new() -> Self {
        let device = Device::flex().autodiff();
        let mut rng = onecycle_burn::rng(3);
        let mut conv = |channels_in| {
            let shape = Conv2dShape::same(channels_in, 4, 3);
            Conv2d::new(shape, Init::KaimingFanOut, &mut rng, &device)
        };
        Net {
            conv1: conv(1),
            bn1: BatchNorm2d::new(4, &device),
            conv2: conv(4),
            bn2: BatchNorm2d::new(4, &device),
            fc: Linear::new(4, 2, &mut rng, &device),
        }
    }

    fn loss(&self, step: u64) -> Tensor<1> {
        let device = Device::flex().autodiff();
        let value = |i: u64| ((i * 37 + step * 11) % 101) as f32 / 50.0 - 1.0;
        let pixels: Vec<f32> = (0..4 * 36).map(value).collect();
        let x = Tensor::<1>::from_data(pixels.as_slice(), &device).reshape([4, 1, 6, 6]);
        let labels = Tensor::<1, Int>::from_data([0, 1, 1, 0], &device);
        let x = ConvNorm {
            conv: &self.conv1,
            norm: &self.bn1,
        }
        .forward_relu(x);
        let x = ConvNorm {
            conv: &self.conv2,
            norm: &self.bn2,
        }
        .forward_relu(x);
        cross_entropy(self.fc.forward(global_average_pool2d(x)), labels, 0.0)
    }
}

fn groups() -> LayerGroups {
    let groups = LayerGroups::new(["conv1|bn1", "conv2|bn2", "fc"]).unwrap();
    groups.check(&Net::new()).unwrap();
    groups
}

/// SGD whose weight decay and momentum would move parameters without a gradient, too.
fn optimizer(param_groups: Vec<ParamGroup>) -> Optimizer {
    let optimizer = Optimizer::new(OptimizerConfig::sgd().with_weight_decay(0.1)).unwrap();
    optimizer.with_groups(param_groups).unwrap()
}

fn step(net: Net, optimizer: &mut Optimizer, step: u64) -> Net {
    let (net, outcome) = training_step(net, optimizer, &Hyper::new(0.1), |net| {
        Ok::<_, BurnError>(net.loss(step))
    })
    .unwrap();
    assert!(outcome.update.is_some());
    net
}

/// Names of the tensors that differ.
fn changed(before: &TensorMap, after: &TensorMap) -> Vec<String> {
    let differs = |name: &&String| before[*name] != after[*name];
    before.keys().filter(differs).cloned().collect()
}

#[test]
fn frozen_layers_stay_bit_identical() {
    let start = Net::new();
    let before = state::weights(&start);
    let mut net = groups().freeze_to(start, 1);
    let mut optimizer = optimizer(Vec::new());
    for number in 0..5 {
        net = step(net, &mut optimizer, number);
    }
    let moved = changed(&before, &state::weights(&net));
    assert!(
        moved
            .iter()
            .all(|name| !name.starts_with("conv1") && !name.starts_with("bn1"))
    );
    assert_eq!(moved.len(), before.len() - 5, "{moved:?}");
    assert!(!optimizer.state().keys().any(|name| name.contains("1.")));
}

/// Scale and shift train, the statistics stay.
#[test]
fn trained_norms_can_keep_their_statistics() {
    let before = state::weights(&Net::new());
    let still = groups().with_norms(NormStatistics::Running);
    let net = still.freeze_to(Net::new(), 0);
    let net = step(net, &mut optimizer(Vec::new()), 0);
    let moved = changed(&before, &state::weights(&net));
    assert!(moved.contains(&"bn1.weight".to_owned()) && moved.contains(&"bn2.bias".to_owned()));
    assert!(
        !moved.iter().any(|name| name.contains("running")),
        "{moved:?}"
    );
}

/// The first update of SGD is the learning rate times the gradient. Rates of 1/4, 1/2 and 1 move
/// the groups by these shares of what one rate for all moves.
#[test]
fn updates_have_the_rates_of_their_depth() {
    let before = state::weights(&Net::new());
    let rates = groups().discriminative(2.0).unwrap();
    let by_depth = groups().param_groups(&rates, &[]).unwrap();
    let [whole, scaled] = [Vec::new(), by_depth].map(|groups| {
        let mut optimizer = Optimizer::new(OptimizerConfig::sgd()).unwrap();
        optimizer = optimizer.with_groups(groups).unwrap();
        state::weights(&step(Net::new(), &mut optimizer, 0))
    });
    for (name, start) in before.iter().filter(|(name, _)| !name.contains("running")) {
        let share = [0.25, 0.5, 1.0][groups().of(name).unwrap()];
        let moved = |weights: &TensorMap| -> Vec<f64> {
            let pairs = weights[name].iter::<f64>().zip(start.iter::<f64>());
            pairs.map(|(new, old)| new - old).collect()
        };
        let (whole, scaled) = (moved(&whole), moved(&scaled));
        assert!(whole.iter().any(|value| value.abs() > 1e-4), "{name}");
        for (whole, scaled) in whole.iter().zip(&scaled) {
            assert!(
                (share * whole - scaled).abs() < 1e-6,
                "{name}: {scaled} of {whole}"
            );
        }
    }
}

/// At steps 0 and 1 the last group trains, at 2 and 3 the last two, then all.
#[test]
fn groups_unfreeze_at_their_step() {
    let unfreezing = GradualUnfreezing::every(groups(), 2).unwrap();
    let mut optimizer = optimizer(Vec::new());
    let mut net = Net::new();
    for number in 0..6 {
        net = unfreezing.prepare(net, number);
        let before = state::weights(&net);
        net = step(net, &mut optimizer, number);
        let after = state::weights(&net);
        let mut moved: Vec<usize> = changed(&before, &after)
            .iter()
            .map(|name| groups().of(name).unwrap())
            .collect();
        moved.sort_unstable();
        moved.dedup();
        let expected: &[usize] = [&[2][..], &[1, 2], &[0, 1, 2]][number as usize / 2];
        assert_eq!(moved, expected, "step {number}");
    }
    // A run that continues at step 2 has the same layers frozen.
    let continued = unfreezing.start(Net::new(), 3);
    assert!(!continued.bn1.training.is_enabled() && continued.bn2.training.is_enabled());
}
