//! Poolings of arbitrary shapes, with slices of right and wrong lengths, and arbitrary positions of
//! the maximum in the backward pass.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use onecycle_kernels::{Kernels, Pool2d};
use onecycle_kernels_fuzz::{Length, Size, all_kernels, assert_ok_if};

#[derive(Arbitrary, Debug)]
struct Input {
    batch: Size,
    channels: Size,
    size: [Size; 2],
    kernel: [Size; 2],
    stride: [Size; 2],
    padding: [Size; 2],
    lengths: [Length; 3],
    /// Positions of the maximum for the backward pass, repeated as needed.
    argmax: Vec<u16>,
}

/// Most floats of the input; larger shapes are only validated.
const MAX_FLOATS: usize = 1 << 16;
/// Most additions per pass.
const MAX_WORK: usize = 1 << 20;

fuzz_target!(|input: Input| {
    let shape = Pool2d {
        batch: input.batch.get(),
        channels: input.channels.get(),
        height: input.size[0].get(),
        width: input.size[1].get(),
        kernel: input.kernel.map(Size::get),
        stride: input.stride.map(Size::get),
        padding: input.padding.map(Size::get),
    };
    let Ok(outputs) = shape.output_len() else {
        // An impossible shape is an error in every pass.
        let (kernels, one, mut out, mut argmax) = (Kernels::new(), [0.0], [0.0], [0]);
        let forward = kernels.max_pool2d_forward(&shape, &one, &mut out, &mut argmax);
        assert!(forward.is_err());
        let backward = kernels.max_pool2d_backward(&shape, &one, &argmax, &mut out);
        assert!(backward.is_err());
        let forward = kernels.average_pool2d_forward(&shape, &one, &mut out);
        assert!(forward.is_err());
        let backward = kernels.average_pool2d_backward(&shape, &one, &mut out);
        assert!(backward.is_err());
        return;
    };
    let window = shape.kernel[0] * shape.kernel[1];
    if shape.input_len() > MAX_FLOATS || outputs.saturating_mul(window) > MAX_WORK {
        return;
    }
    let right = [shape.input_len(), outputs, outputs];
    let mut lengths = right;
    for (length, choice) in lengths.iter_mut().zip(input.lengths) {
        *length = choice.of(*length);
    }
    let fit = [0, 1, 2].map(|i| lengths[i] == right[i]);
    let (x, y) = (vec![1.0f32; lengths[0]], vec![1.0f32; lengths[1]]);
    let positions: Vec<u16> = match input.argmax.is_empty() {
        true => vec![0; lengths[2]],
        false => input
            .argmax
            .iter()
            .copied()
            .cycle()
            .take(lengths[2])
            .collect(),
    };
    for kernels in all_kernels() {
        let all = fit[0] && fit[1] && fit[2];
        let mut out = vec![f32::NAN; y.len()];
        let mut argmax = vec![u16::MAX; lengths[2]];
        let result = kernels.max_pool2d_forward(&shape, &x, &mut out, &mut argmax);
        // All values are equal, so the maximum is the first pixel of each window in the image.
        let padded = shape.padding != [0, 0];
        assert!(!all || out.iter().all(|&y| y == 1.0));
        assert!(!all || padded || argmax.iter().all(|&a| a == 0));
        assert_ok_if(all, result);

        let mut out = vec![f32::NAN; x.len()];
        let result = kernels.max_pool2d_backward(&shape, &y, &positions, &mut out);
        assert!(!all || out.iter().all(|dx| dx.is_finite()));
        assert_ok_if(all, result);

        let all = fit[0] && fit[1];
        let mut out = vec![f32::NAN; y.len()];
        let result = kernels.average_pool2d_forward(&shape, &x, &mut out);
        let least = if padded { 0.0 } else { 0.999 };
        assert!(!all || out.iter().all(|y| (least..1.001).contains(y)));
        assert_ok_if(all, result);

        let mut out = vec![f32::NAN; x.len()];
        let result = kernels.average_pool2d_backward(&shape, &y, &mut out);
        assert!(!all || out.iter().all(|dx| dx.is_finite()));
        assert_ok_if(all, result);
    }
});
