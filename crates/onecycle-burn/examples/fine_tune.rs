//! Fine-tunes a network on other classes: first the last layer alone, then group after group of
//! layers, with learning rates that fall towards the input (Howard & Ruder 2018).
//!
//! `cargo run --release -p onecycle-burn --example fine_tune`

use onecycle::{OneCycle, Run};
use onecycle_burn::{
    BurnError, Optimizer, OptimizerConfig,
    burn::{
        self,
        module::Module,
        tensor::{Device, Int, Tensor},
    },
    fit_one_cycle,
    layer_groups::LayerGroups,
    nn::{
        BatchNorm2d, Conv2d, Conv2dShape, ConvNorm, Init, Linear, cross_entropy, global_max_pool2d,
        max_pool2d,
    },
    training_step,
    unfreezing::GradualUnfreezing,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = Device::flex().autodiff();
    let loss =
        |net: &Net, (images, labels): Drawings| cross_entropy(net.forward(images), labels, 0.1);
    let sgd = || Optimizer::new(OptimizerConfig::sgd());

    // A network that tells four directions of bars apart. Real ones are read from a file.
    let bars = bars(512, &device);
    let mut net = Net::new(4, &device);
    let plan = OneCycle::new(0.1).plan(&Run::epochs(6, 512, 32))?;
    fit_one_cycle(&mut net, &mut sgd()?, &plan, |_| batches(&bars, 32), loss)?;

    // Crosses, upright or turned: two classes, 32 images of each.
    let crosses = crosses(64, &device);
    net.fc = Linear::new(16, 2, &mut onecycle_burn::rng(2), &device);

    // Three groups by depth. Each has 1 / 2.6 of the learning rate of the next one.
    let groups = LayerGroups::new(["conv1|bn1", "conv2|bn2", "fc"])?;
    groups.check(&net)?;
    let rates = groups.discriminative(2.6)?;
    let mut optimizer = sgd()?.with_groups(groups.param_groups(&rates, &[])?)?;

    // The last group trains from the start, the others after 10 and 20 epochs.
    let plan = OneCycle::new(0.05).plan(&Run::epochs(30, 64, 16))?;
    let unfreezing = GradualUnfreezing::every(groups, plan.steps() / 3)?;
    let mut steps = plan.iter();
    for epoch in 1..=30 {
        let mut sum = 0.0;
        for (batch, (step, hyper)) in batches(&crosses, 16).zip(steps.by_ref()) {
            net = unfreezing.prepare(net, step);
            let outcome;
            (net, outcome) = training_step(net, &mut optimizer, &hyper, |net| {
                Ok::<_, BurnError>(loss(net, batch))
            })?;
            sum += outcome.loss / 4.0;
        }
        if epoch % 10 == 0 {
            println!("epoch {epoch}: mean loss {sum:.3}");
        }
    }
    println!("accuracy {:.1} %", 100.0 * accuracy(&net, &crosses));
    Ok(())
}

type Drawings = (Tensor<4>, Tensor<1, Int>);

#[derive(Module, Debug)]
struct Net {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    conv2: Conv2d,
    bn2: BatchNorm2d,
    fc: Linear,
}

impl Net {
    fn new(classes: usize, device: &Device) -> Self {
        let mut rng = onecycle_burn::rng(1);
        let mut conv = |channels_in, channels_out| {
            let shape = Conv2dShape::same(channels_in, channels_out, 3);
            Conv2d::new(shape, Init::KaimingFanOut, &mut rng, device)
        };
        Net {
            conv1: conv(1, 8),
            bn1: BatchNorm2d::new(8, device),
            conv2: conv(8, 16),
            bn2: BatchNorm2d::new(16, device),
            fc: Linear::new(16, classes, &mut rng, device),
        }
    }

    /// `[batch, 1, 12, 12]` to logits `[batch, classes]`.
    fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        let first = ConvNorm {
            conv: &self.conv1,
            norm: &self.bn1,
        };
        let second = ConvNorm {
            conv: &self.conv2,
            norm: &self.bn2,
        };
        let x = max_pool2d(first.forward_relu(x), 2);
        self.fc.forward(global_max_pool2d(second.forward_relu(x)))
    }
}

/// The drawings in batches of `size`.
fn batches((images, labels): &Drawings, size: usize) -> impl Iterator<Item = Drawings> + use<> {
    let labels = labels.clone().split(size, 0);
    images.clone().split(size, 0).into_iter().zip(labels)
}

/// Noisy bars: horizontal, vertical, and the two diagonals, in turn.
fn bars(count: usize, device: &Device) -> Drawings {
    draw(count, 4, device, |label, place, y, x| match label {
        0 => y == place,
        1 => x == place,
        2 => x + 6 == y + place,
        _ => x + y == place + 6,
    })
}

/// Noisy crosses: upright and turned, in turn.
fn crosses(count: usize, device: &Device) -> Drawings {
    draw(count, 2, device, |label, place, y, x| match label {
        0 => y == place || x == 6,
        _ => x + 6 == y + place || x + y == place + 6,
    })
}

/// Images `[count, 1, 12, 12]` with their labels. `is_line` takes the label, a place, and row and
/// column.
fn draw(
    count: usize,
    classes: usize,
    device: &Device,
    is_line: impl Fn(usize, usize, usize, usize) -> bool,
) -> Drawings {
    let pixels = (0..count * 144).map(|n| {
        let (i, y, x) = (n / 144, n / 12 % 12, n % 12);
        // Multiples of the golden ratio are spread evenly between 0 and 1.
        let noise = (n as f64 * 0.618_033_988_75).fract() as f32;
        f32::from(is_line(i % classes, i / classes % 5 + 4, y, x)) + 2.0 * (noise - 0.5)
    });
    let pixels: Vec<f32> = pixels.collect();
    let labels: Vec<i64> = (0..count).map(|i| (i % classes) as i64).collect();
    let images = Tensor::<1>::from_data(pixels.as_slice(), device);
    let labels = Tensor::from_data(labels.as_slice(), device);
    (images.reshape([count, 1, 12, 12]), labels)
}

/// Fraction of the drawings that are classified correctly.
fn accuracy(net: &Net, (images, labels): &Drawings) -> f32 {
    let images = images.clone().without_autodiff();
    let found = net.valid().forward(images).argmax(1).reshape([-1]);
    let right = found.equal(labels.clone().without_autodiff());
    right.float().mean().into_scalar::<f32>()
}
