//! Convolutions of arbitrary shapes, with slices that fit them or not.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use onecycle_kernels::{
    Conv2d, Epilogue, Path, Workspace, conv2d_backward_data, conv2d_backward_weights,
    conv2d_forward,
};
use onecycle_kernels_fuzz::{Length, Size, assert_refused_unless};

#[derive(Arbitrary, Debug)]
struct Input {
    batch: Size,
    in_channels: Size,
    out_channels: Size,
    size: [Size; 2],
    kernel: [Size; 2],
    stride: [Size; 2],
    padding: [Size; 2],
    bias: bool,
    relu: bool,
    lengths: [Length; 4],
}

/// Floats that a tensor, or an image with its border, may have; larger shapes are only asked for their sizes.
const MOST: usize = 1 << 16;
/// Multiply-adds of a pass.
const MOST_WORK: f64 = 4e6;

fn small(shape: &Conv2d) -> bool {
    let border = |size: usize, i: usize| size + 2 * (shape.padding[i] + shape.kernel[i]);
    let padded = border(shape.height, 0).saturating_mul(border(shape.width, 1));
    let channels = shape.in_channels.max(shape.out_channels);
    padded.saturating_mul(channels) <= MOST
        && shape.input_len() <= MOST
        && shape.weight_len() <= MOST
        && shape.output_len().is_ok_and(|len| len <= MOST)
        && shape.flops().is_ok_and(|flops| flops <= 2.0 * MOST_WORK)
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
        padding: input.padding.map(Size::get),
    };
    let workspace = Workspace::new();
    let Ok(outputs) = shape.output_len() else {
        // Refused by every pass as well, whatever the slices.
        let path = Path::detect();
        let mut out = [0.0; 1];
        let bias = Epilogue::default();
        assert!(conv2d_forward(&workspace, path, &shape, &[0.0], &[0.0], bias, &mut out).is_err());
        assert!(conv2d_backward_data(&workspace, path, &shape, &[0.0], &[0.0], &mut out).is_err());
        assert!(
            conv2d_backward_weights(&workspace, path, &shape, &[0.0], &[0.0], &mut out).is_err()
        );
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
    for path in Path::ALL.into_iter().filter(|path| path.is_available()) {
        let mut out = vec![f32::NAN; y.len()];
        let epilogue = Epilogue {
            bias: input.bias.then_some(&bias),
            relu: input.relu,
        };
        let result = conv2d_forward(&workspace, path, &shape, &x, &w, epilogue, &mut out);
        let all = fit[0] && fit[1] && fit[2] && (fit[3] || !input.bias);
        // Sums of ones: every output is written, and none is NaN.
        assert!(!all || out.iter().all(|y| y.is_finite()));
        assert_refused_unless(all, result);

        let all = fit[0] && fit[1] && fit[2];
        let mut out = vec![f32::NAN; x.len()];
        let result = conv2d_backward_data(&workspace, path, &shape, &y, &w, &mut out);
        assert!(!all || out.iter().all(|dx| dx.is_finite()));
        assert_refused_unless(all, result);

        let mut out = vec![f32::NAN; w.len()];
        let result = conv2d_backward_weights(&workspace, path, &shape, &x, &y, &mut out);
        assert!(!all || out.iter().all(|dw| dw.is_finite()));
        assert_refused_unless(all, result);
    }
});
