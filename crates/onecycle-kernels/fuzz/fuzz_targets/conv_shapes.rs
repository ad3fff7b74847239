//! Convolutions of arbitrary shapes, with slices of right and wrong lengths.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use onecycle_kernels::{
    Activation, ActivatedGradient, Conv2d, Conv2dGradients, Epilogue, IncomingGradient, Kernels, Mask,
};
use onecycle_kernels_fuzz::{Length, Size, all_kernels, assert_ok_if};

#[derive(Arbitrary, Debug)]
struct Input {
    batch: Size,
    in_channels: Size,
    out_channels: Size,
    size: [Size; 2],
    kernel: [Size; 2],
    stride: [Size; 2],
    padding: [[Size; 2]; 2],
    groups: Groups,
    bias: bool,
    activation: Function,
    lengths: [Length; 4],
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Groups {
    One,
    Depthwise,
    Any(Size),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Function {
    Identity,
    Relu,
    Relu6,
    Gelu,
}

impl From<Function> for Activation {
    fn from(function: Function) -> Self {
        match function {
            Function::Identity => Activation::Identity,
            Function::Relu => Activation::Relu,
            Function::Relu6 => Activation::Relu6,
            Function::Gelu => Activation::Gelu,
        }
    }
}

/// Most floats of a tensor or a padded image; larger shapes are only validated.
const MAX_FLOATS: usize = 1 << 16;
/// Most multiply-adds per pass.
const MAX_WORK: f64 = 4e6;

fn small(shape: &Conv2d) -> bool {
    let border = |size: usize, i: usize| {
        let [before, after] = shape.padding[i];
        size + before + after + 2 * shape.kernel[i]
    };
    let padded = border(shape.height, 0).saturating_mul(border(shape.width, 1));
    let channels = shape.in_channels.max(shape.out_channels);
    padded.saturating_mul(channels) <= MAX_FLOATS
        && shape.input_len() <= MAX_FLOATS
        && shape.weight_len() <= MAX_FLOATS
        && shape.output_len().is_ok_and(|len| len <= MAX_FLOATS)
        && shape.flops().is_ok_and(|flops| flops <= 2.0 * MAX_WORK)
}

fuzz_target!(|input: Input| {
    let shape = Conv2d {
        batch: input.batch.get(),
        in_channels: input.in_channels.get(),
        out_channels: input.out_channels.get(),
        height: input.size[0].get(),
        width: input.size[1].get(),
        kernel: input.kernel.map(Size::get),
        stride: input.stride.map(Size::get),
        padding: input.padding.map(|sides| sides.map(Size::get)),
        groups: 1,
    };
    let shape = match input.groups {
        Groups::One => shape,
        Groups::Depthwise => Conv2d {
            out_channels: shape.in_channels,
            groups: shape.in_channels,
            ..shape
        },
        Groups::Any(groups) => Conv2d {
            groups: groups.get(),
            ..shape
        },
    };
    let Ok(outputs) = shape.output_len() else {
        // An impossible shape is an error in every pass.
        let (kernels, one, mut out) = (Kernels::new(), [0.0], [0.0]);
        let forward = kernels.conv2d_forward(&shape, &one, &one, Epilogue::default(), &mut out);
        assert!(forward.is_err());
        let data = kernels.conv2d_backward_data(&shape, &one, &one, &mut out);
        assert!(data.is_err());
        let weights = kernels.conv2d_backward_weights(&shape, &one, &one, &mut out);
        assert!(weights.is_err());
        let gelu = kernels.conv2d_gelu_backward(&shape, &one, &one, None, &mut out);
        assert!(gelu.is_err());
        return;
    };
    if !small(&shape) {
        return;
    }
    let right = [
        shape.input_len(),
        shape.weight_len(),
        outputs,
        shape.out_channels,
    ];
    let mut lengths = right;
    for (length, choice) in lengths.iter_mut().zip(input.lengths) {
        *length = choice.of(*length);
    }
    let fit = [0, 1, 2, 3].map(|i| lengths[i] == right[i]);
    let [x, w, y, bias] = lengths.map(|len| vec![1.0f32; len]);
    for kernels in all_kernels() {
        let mut out = vec![f32::NAN; y.len()];
        let epilogue = Epilogue {
            bias: input.bias.then_some(&bias),
            activation: input.activation.into(),
        };
        let result = kernels.conv2d_forward(&shape, &x, &w, epilogue, &mut out);
        let all = fit[0] && fit[1] && fit[2] && (fit[3] || !input.bias);
        // Inputs and weights are ones, so outputs that were not written are the only NaN.
        assert!(!all || out.iter().all(|y| y.is_finite()));
        assert_ok_if(all, result);

        // The derivative of GELU is 1/2 at 0 and between 1 and 1.13 from 1 on.
        let mut gradient = vec![2.0; y.len()];
        let bias = epilogue.bias;
        let result = kernels.conv2d_gelu_backward(&shape, &x, &w, bias, &mut gradient);
        let sums = result.as_ref().map_or(0, Vec::len);
        assert_eq!(sums, if all { shape.out_channels } else { 0 });
        assert!(!all || gradient.iter().all(|g| (0.99..2.27).contains(g)));
        assert_ok_if(all, result.map(|_| ()));

        let all = fit[0] && fit[1] && fit[2] && fit[3];
        let [mut dx, mut dw, mut sums] =
            [x.len(), w.len(), lengths[3]].map(|len| vec![f32::NAN; len]);
        let gradient = ActivatedGradient {
            values: IncomingGradient::Kept(&y),
            mask: Mask::OfRelu6Output(&y),
        };
        let targets = Conv2dGradients {
            weights: Some(&mut dw),
            input: Some(&mut dx),
        };
        let result =
            kernels.conv2d_backward_activated(&shape, &x, &w, gradient, targets, Some(&mut sums));
        let finite = dx.iter().chain(&dw).chain(&sums).all(|d| d.is_finite());
        assert!(!all || finite);
        assert_ok_if(all, result);

        let all = fit[0] && fit[1] && fit[2];
        let mut out = vec![f32::NAN; x.len()];
        let result = kernels.conv2d_backward_data(&shape, &y, &w, &mut out);
        assert!(!all || out.iter().all(|dx| dx.is_finite()));
        assert_ok_if(all, result);

        let mut out = vec![f32::NAN; w.len()];
        let result = kernels.conv2d_backward_weights(&shape, &x, &y, &mut out);
        assert!(!all || out.iter().all(|dw| dw.is_finite()));
        assert_ok_if(all, result);
    }
});
