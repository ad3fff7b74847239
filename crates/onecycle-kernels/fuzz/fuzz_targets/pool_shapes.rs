//! Poolings of arbitrary shapes, with slices that fit them or not and any choice in the backward pass.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use onecycle_kernels::{
    Path, Pool2d, average_pool2d_backward, average_pool2d_forward, max_pool2d_backward,
    max_pool2d_forward,
};
use onecycle_kernels_fuzz::{Length, Size, assert_refused_unless};

#[derive(Arbitrary, Debug)]
struct Input {
    batch: Size,
    channels: Size,
    size: [Size; 2],
    kernel: [Size; 2],
    stride: [Size; 2],
    lengths: [Length; 3],
    /// Repeated over the pixels that the backward pass is told were chosen.
    chosen: Vec<u16>,
}

/// Floats that an image may have; larger shapes are only asked for their sizes.
const MOST: usize = 1 << 16;
/// Additions of a pass.
const MOST_WORK: usize = 1 << 20;

fuzz_target!(|input: Input| {
    let shape = Pool2d {
        batch: input.batch.get(),
        channels: input.channels.get(),
        height: input.size[0].get(),
        width: input.size[1].get(),
        kernel: input.kernel.map(Size::get),
        stride: input.stride.map(Size::get),
    };
    let Ok(outputs) = shape.output_len() else {
        // Refused by every pass as well, whatever the slices.
        let path = Path::detect();
        let (mut out, mut chosen) = ([0.0; 1], [0; 1]);
        assert!(max_pool2d_forward(path, &shape, &[0.0], &mut out, &mut chosen).is_err());
        assert!(max_pool2d_backward(path, &shape, &[0.0], &[0], &mut out).is_err());
        assert!(average_pool2d_forward(path, &shape, &[0.0], &mut out).is_err());
        assert!(average_pool2d_backward(path, &shape, &[0.0], &mut out).is_err());
        return;
    };
    let window = shape.kernel[0] * shape.kernel[1];
    if shape.input_len() > MOST || outputs.saturating_mul(window) > MOST_WORK {
        return;
    }
    let right = [shape.input_len(), outputs, outputs];
    let mut lengths = right;
    for (length, choice) in lengths.iter_mut().zip(input.lengths) {
        *length = choice.of(*length);
    }
    let fit = [0, 1, 2].map(|i| lengths[i] == right[i]);
    let (x, y) = (vec![1.0f32; lengths[0]], vec![1.0f32; lengths[1]]);
    let any_choice: Vec<u16> = match input.chosen.is_empty() {
        true => vec![0; lengths[2]],
        false => input
            .chosen
            .iter()
            .copied()
            .cycle()
            .take(lengths[2])
            .collect(),
    };
    for path in Path::ALL.into_iter().filter(|path| path.is_available()) {
        let all = fit[0] && fit[1] && fit[2];
        let mut out = vec![f32::NAN; y.len()];
        let mut chosen = vec![u16::MAX; lengths[2]];
        let result = max_pool2d_forward(path, &shape, &x, &mut out, &mut chosen);
        // All values are equal, so the first of each window is chosen.
        assert!(!all || (out.iter().all(|&y| y == 1.0) && chosen.iter().all(|&c| c == 0)));
        assert_refused_unless(all, result);

        let mut out = vec![f32::NAN; x.len()];
        let result = max_pool2d_backward(path, &shape, &y, &any_choice, &mut out);
        assert!(!all || out.iter().all(|dx| dx.is_finite()));
        assert_refused_unless(all, result);

        let all = fit[0] && fit[1];
        let mut out = vec![f32::NAN; y.len()];
        let result = average_pool2d_forward(path, &shape, &x, &mut out);
        assert!(!all || out.iter().all(|y| (y - 1.0).abs() < 1e-3));
        assert_refused_unless(all, result);

        let mut out = vec![f32::NAN; x.len()];
        let result = average_pool2d_backward(path, &shape, &y, &mut out);
        assert!(!all || out.iter().all(|dx| dx.is_finite()));
        assert_refused_unless(all, result);
    }
});
