//! A convolutional network: a range test finds the peak, the 1cycle policy trains.
//!
//! `cargo run --release -p onecycle-burn --example cnn`

use onecycle::{
    OneCycle, Run,
    range_test::{LrSweep, RangeTest, Rule},
};
use onecycle_burn::{
    Optimizer, OptimizerConfig,
    burn::{
        self,
        module::Module,
        tensor::{Device, Int, Tensor},
    },
    fit_one_cycle, lr_find,
    nn::{
        BatchNorm2d, Conv2d, Conv2dShape, ConvNorm, Init, Linear, cross_entropy, global_max_pool2d,
        max_pool2d,
    },
};

const IMAGES: usize = 1024;
const BATCH: usize = 32;
const SIDE: usize = 12;

type Batch = (Tensor<4>, Tensor<1, Int>);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = Device::flex().autodiff();
    let mut model = Net::new(&device);
    let mut optimizer = Optimizer::new(OptimizerConfig::sgd())?;

    let (images, labels) = bars(0..IMAGES, &device);
    let batches = |_epoch| {
        let labels = labels.clone().split(BATCH, 0);
        images.clone().split(BATCH, 0).into_iter().zip(labels)
    };
    let loss =
        |model: &Net, (images, labels): Batch| cross_entropy(model.forward(images), labels, 0.1);
    let one_cycle = |lr_max| {
        OneCycle::new(lr_max)
            .weight_decay(1e-4)
            .plan(&Run::epochs(5, IMAGES, BATCH))
    };

    // The range test trains copies. Model and optimizer stay as they are.
    let test = RangeTest::for_plan(&one_cycle(1.0)?, LrSweep::exponential(1e-3, 10.0, 100)?);
    let tested = lr_find(&model, &optimizer, test, batches, loss)?;
    let suggestion = Rule::OneCycleMax.apply(&tested.curve);
    println!("range test: {suggestion}");
    let lr_max = suggestion.lr.ok_or(suggestion.verdict.advice())?;

    let plan = one_cycle(lr_max)?;
    let fitted = fit_one_cycle(&mut model, &mut optimizer, &plan, batches, loss)?;
    for (epoch, loss) in fitted.epoch_losses().iter().enumerate() {
        println!("epoch {}: mean loss {loss:.4}", epoch + 1);
    }
    println!("test accuracy {:.1} %", 100.0 * accuracy(&model));
    Ok(())
}

#[derive(Module, Debug)]
struct Net {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    conv2: Conv2d,
    bn2: BatchNorm2d,
    fc: Linear,
}

impl Net {
    fn new(device: &Device) -> Self {
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
            fc: Linear::new(16, 4, &mut rng, device),
        }
    }

    /// `[batch, 1, height, width]` to logits `[batch, 4]`.
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

/// Images `[count, 1, 12, 12]` of a noisy bar, and its direction: horizontal, vertical, and the two
/// diagonals, in turn.
fn bars(indices: std::ops::Range<usize>, device: &Device) -> Batch {
    let count = indices.len();
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for i in indices {
        let label = i % 4;
        labels.push(label as i64);
        let place = i / 4 % 5 + 4;
        for y in 0..SIDE {
            for x in 0..SIDE {
                let on_bar = match label {
                    0 => y == place,
                    1 => x == place,
                    2 => x + 6 == y + place,
                    _ => x + y == place + 6,
                };
                // Multiples of the golden ratio are spread evenly between 0 and 1.
                let noise = ((i * SIDE * SIDE + y * SIDE + x) as f64 * 0.618_033_988_75).fract();
                pixels.push(f32::from(on_bar) + 3.0 * (noise as f32 - 0.5));
            }
        }
    }
    let images = Tensor::<1>::from_data(pixels.as_slice(), device);
    let labels = Tensor::from_data(labels.as_slice(), device);
    (images.reshape([count, 1, SIDE, SIDE]), labels)
}

/// Fraction of new images that are classified correctly.
fn accuracy(model: &Net) -> f32 {
    let (images, labels) = bars(IMAGES..IMAGES + 256, &Device::flex());
    let found = model.valid().forward(images).argmax(1);
    let right = found.reshape([-1]).equal(labels);
    right.float().mean().into_scalar::<f32>()
}
