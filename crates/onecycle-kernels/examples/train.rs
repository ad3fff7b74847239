//! A small convolutional network trained by the kernels alone: forward pass, backward pass and SGD
//! on plain slices.
//!
//! ```text
//! cargo run --release -p onecycle-kernels --example train
//! ```

use onecycle_kernels::{
    Activation, Conv2d, CrossEntropy, Epilogue, KernelError, Kernels, MomentumBuffer, Pixels,
    Pool2d, Sgd,
};

const BATCH: usize = 64;
const SIDE: usize = 12;
const CHANNELS: usize = 8;
const CLASSES: usize = 4;
const STEPS: usize = 200;

fn main() -> Result<(), KernelError> {
    // One value for the whole training: its scratch memory is allocated in the first step and
    // reused in all others. The same holds for the buffers below.
    let kernels = Kernels::new();
    println!("instruction set: {:?}", kernels.isa());

    // Images are [batch, height, width, channels]. Weights are in PyTorch's order,
    // [out, in, kernel height, kernel width].
    let conv = Conv2d {
        batch: BATCH,
        in_channels: 1,
        out_channels: CHANNELS,
        height: SIDE,
        width: SIDE,
        kernel: [3, 3],
        stride: [1, 1],
        padding: [[1; 2]; 2],
        groups: 1,
    };
    let pool = Pool2d::global(BATCH, CHANNELS, SIDE, SIDE);
    // A linear layer is a convolution of images of one pixel.
    let linear = Conv2d {
        in_channels: CHANNELS,
        out_channels: CLASSES,
        height: 1,
        width: 1,
        kernel: [1, 1],
        padding: [[0; 2]; 2],
        groups: 1,
        ..conv
    };
    let pixels = Pixels {
        count: BATCH * SIDE * SIDE,
        channels: CHANNELS,
    };
    let mut filters = Parameter::new(conv.weight_len(), 0.5);
    let mut bias = Parameter::new(CHANNELS, 0.0);
    let mut weights = Parameter::new(linear.weight_len(), 0.5);

    let mut features = vec![0.0; conv.output_len()?];
    let mut feature_gradient = features.clone();
    let mut pooled = vec![0.0; pool.output_len()?];
    let mut pooled_gradient = pooled.clone();
    let mut argmax = vec![0; pooled.len()];
    let mut logits = vec![0.0; linear.output_len()?];
    let mut logit_gradient = logits.clone();
    let settings = CrossEntropy {
        classes: CLASSES,
        label_smoothing: 0.0,
    };

    for step in 0..STEPS {
        let (images, labels) = bars(step * BATCH);

        // Forward.
        let relu = Epilogue {
            bias: Some(&bias.values),
            activation: Activation::Relu,
        };
        kernels.conv2d_forward(&conv, &images, &filters.values, relu, &mut features)?;
        kernels.max_pool2d_forward(&pool, &features, &mut pooled, &mut argmax)?;
        let plain = Epilogue::default();
        kernels.conv2d_forward(&linear, &pooled, &weights.values, plain, &mut logits)?;
        let loss = kernels.cross_entropy(settings, &logits, &labels, &mut logit_gradient)?;

        // Backward, from the last layer to the first: gradient of the weights, then of the input.
        let gradient = &logit_gradient;
        kernels.conv2d_backward_weights(&linear, &pooled, gradient, &mut weights.gradient)?;
        kernels.conv2d_backward_data(&linear, gradient, &weights.values, &mut pooled_gradient)?;
        kernels.max_pool2d_backward(&pool, &pooled_gradient, &argmax, &mut feature_gradient)?;
        kernels.relu_backward(&features, &mut feature_gradient)?;
        bias.gradient = kernels.channel_sums(&pixels, &feature_gradient)?;
        let gradient = &feature_gradient;
        kernels.conv2d_backward_weights(&conv, &images, gradient, &mut filters.gradient)?;

        // Update.
        for parameter in [&mut filters, &mut bias, &mut weights] {
            parameter.update(&kernels, step == 0)?;
        }
        if (step + 1) % 40 == 0 {
            let accuracy = 100.0 * accuracy(&logits, &labels);
            println!(
                "step {:3}: loss {loss:.4}, accuracy {accuracy:.0} %",
                step + 1
            );
        }
    }
    println!("scratch memory: {} KiB", kernels.workspace_bytes() / 1024);
    Ok(())
}

/// Weights with their gradient and SGD's momentum buffer.
struct Parameter {
    values: Vec<f32>,
    gradient: Vec<f32>,
    momentum: Vec<f32>,
}

impl Parameter {
    /// `count` values spread evenly in `±bound`, in no order.
    fn new(count: usize, bound: f64) -> Self {
        // Multiples of the golden ratio.
        let value = |i: usize| (2.0 * (i as f64 * 0.618_033_988_75).fract() - 1.0) * bound;
        Parameter {
            values: (0..count).map(|i| value(i + 1) as f32).collect(),
            gradient: vec![0.0; count],
            momentum: vec![0.0; count],
        }
    }

    fn update(&mut self, kernels: &Kernels, is_first: bool) -> Result<(), KernelError> {
        let sgd = Sgd {
            lr: 0.05,
            momentum: 0.9,
            dampening: 0.0,
            weight_decay: 1e-4,
            decoupled: false,
            nesterov: false,
            gradient_scale: 1.0,
        };
        let momentum = match is_first {
            true => MomentumBuffer::Uninitialised(&mut self.momentum),
            false => MomentumBuffer::Previous(&mut self.momentum),
        };
        kernels.sgd(&sgd, &mut self.values, momentum, &self.gradient)
    }
}

/// The batch of images, `[batch, side, side, 1]`, from number `first` on: a noisy bar and its
/// direction, which is horizontal, vertical, or one of the diagonals.
fn bars(first: usize) -> (Vec<f32>, Vec<i64>) {
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for i in first..first + BATCH {
        let (label, place) = (i % CLASSES, i / CLASSES % 5 + 4);
        labels.push(label as i64);
        for y in 0..SIDE {
            for x in 0..SIDE {
                let on_bar = match label {
                    0 => y == place,
                    1 => x == place,
                    2 => x + 6 == y + place,
                    _ => x + y == place + 6,
                };
                let noise = ((i * SIDE * SIDE + y * SIDE + x) as f64 * 0.618_033_988_75).fract();
                pixels.push(f32::from(on_bar) + noise as f32 - 0.5);
            }
        }
    }
    (pixels, labels)
}

/// Fraction of the labels that have the largest logit.
fn accuracy(logits: &[f32], labels: &[i64]) -> f32 {
    let right = logits.chunks(CLASSES).zip(labels).filter(|(row, label)| {
        let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        row[**label as usize] == largest
    });
    right.count() as f32 / labels.len() as f32
}
