//! Maximum and average over windows, channels-last. A window as large as the image is global pooling.

use crate::error::{KernelError, check_len, check_positive, checked_size};
use crate::parallel::{for_chunk_pairs, for_chunks};
use crate::simd::{Path, vectorised};

/// Shape of a pooling without padding. Images are `[batch, height, width, channels]`; pairs are `[vertical, horizontal]`.
/// Rows and columns that no window reaches are left out, as in PyTorch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool2d {
    /// Images.
    pub batch: usize,
    /// Channels.
    pub channels: usize,
    /// Rows of the input.
    pub height: usize,
    /// Columns of the input.
    pub width: usize,
    /// Rows and columns of the window, at most 2^16 pixels.
    pub kernel: [usize; 2],
    /// Step of the window.
    pub stride: [usize; 2],
}

impl Pool2d {
    /// The whole image as one window.
    pub fn global(batch: usize, channels: usize, height: usize, width: usize) -> Pool2d {
        Pool2d {
            batch,
            channels,
            height,
            width,
            kernel: [height, width],
            stride: [1, 1],
        }
    }

    /// Rows and columns of the output: `(size - kernel) / stride + 1`.
    ///
    /// # Errors
    /// A dimension is zero, or the window exceeds the input.
    pub fn output(&self) -> Result<[usize; 2], KernelError> {
        for (name, value) in [
            ("batch", self.batch),
            ("channels", self.channels),
            ("height", self.height),
            ("width", self.width),
            ("kernel", self.kernel[0].min(self.kernel[1])),
            ("stride", self.stride[0].min(self.stride[1])),
        ] {
            check_positive(name, value)?;
        }
        let size = [self.height, self.width];
        for (window, padded) in self.kernel.into_iter().zip(size) {
            if window > padded {
                return Err(KernelError::Window { window, padded });
            }
        }
        if checked_size("kernel", &self.kernel)? > 1 << 16 {
            return Err(KernelError::Dimension {
                name: "kernel",
                value: self.kernel[0].max(self.kernel[1]),
                expected: "a window of at most 65536 pixels",
            });
        }
        checked_size(
            "batch",
            &[self.batch, self.height, self.width, self.channels],
        )?;
        Ok([0, 1].map(|i| (size[i] - self.kernel[i]) / self.stride[i] + 1))
    }

    /// Elements of the input.
    pub fn input_len(&self) -> usize {
        self.batch * self.input_image()
    }

    /// Elements of the output.
    ///
    /// # Errors
    /// As [`Pool2d::output`].
    pub fn output_len(&self) -> Result<usize, KernelError> {
        let [rows, columns] = self.output()?;
        Ok(self.batch * rows * columns * self.channels)
    }

    fn input_image(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// Calls `visit(output, inputs)` for each output pixel of an image: where its channels begin, and where those of the
    /// window's pixels begin.
    #[inline(always)]
    fn each_window(
        &self,
        [rows, columns]: [usize; 2],
        mut visit: impl FnMut(usize, &mut dyn Iterator<Item = usize>),
    ) {
        let [kh, kw] = self.kernel;
        for i in 0..rows {
            for j in 0..columns {
                let corner = i * self.stride[0] * self.width + j * self.stride[1];
                let mut window = (0..kh).flat_map(|r| {
                    (0..kw).map(move |s| (corner + r * self.width + s) * self.channels)
                });
                visit((i * columns + j) * self.channels, &mut window);
            }
        }
    }
}

/// Largest value of each window, `[batch, rows, columns, channels]`, and in `chosen` which pixel of the window it was, in
/// row-major order; the first of equal ones. NaN counts as the largest, the last where there are several (as in PyTorch).
///
/// # Errors
/// The shape is impossible, or a slice does not fit it.
pub fn max_pool2d_forward(
    path: Path,
    shape: &Pool2d,
    input: &[f32],
    output: &mut [f32],
    chosen: &mut [u16],
) -> Result<(), KernelError> {
    let size = shape.output()?;
    check_len("output", output, shape.output_len()?)?;
    check_len("chosen", chosen, shape.output_len()?)?;
    check_len("input", input, shape.input_len())?;
    let image = size[0] * size[1] * shape.channels;
    for_chunk_pairs((output, chosen), [image; 2], |index, output, chosen| {
        let input = &input[index * shape.input_image()..][..shape.input_image()];
        vectorised(path, || {
            shape.each_window(size, |at, window| {
                let best = &mut output[at..][..shape.channels];
                let chosen = &mut chosen[at..][..shape.channels];
                for (tap, from) in window.enumerate() {
                    let x = &input[from..][..shape.channels];
                    if tap == 0 {
                        best.copy_from_slice(x);
                        chosen.fill(0);
                        continue;
                    }
                    for ((best, chosen), x) in best.iter_mut().zip(&mut *chosen).zip(x) {
                        let larger = *x > *best || x.is_nan();
                        *best = if larger { *x } else { *best };
                        *chosen = if larger { tap as u16 } else { *chosen };
                    }
                }
            });
        });
    });
    Ok(())
}

/// Gradient of the input: each output's gradient goes to the pixel that was chosen.
///
/// # Errors
/// The shape is impossible, or a slice does not fit it.
pub fn max_pool2d_backward(
    path: Path,
    shape: &Pool2d,
    output_gradient: &[f32],
    chosen: &[u16],
    input_gradient: &mut [f32],
) -> Result<(), KernelError> {
    let size = shape.output()?;
    check_len("output_gradient", output_gradient, shape.output_len()?)?;
    check_len("chosen", chosen, shape.output_len()?)?;
    check_len("input_gradient", input_gradient, shape.input_len())?;
    let image = size[0] * size[1] * shape.channels;
    for_chunks(input_gradient, shape.input_image(), |index, target| {
        let gradient = &output_gradient[index * image..][..image];
        let chosen = &chosen[index * image..][..image];
        vectorised(path, || {
            target.fill(0.0);
            shape.each_window(size, |at, window| {
                let gradient = &gradient[at..][..shape.channels];
                let chosen = &chosen[at..][..shape.channels];
                for (tap, to) in window.enumerate() {
                    let target = &mut target[to..][..shape.channels];
                    for ((target, g), chosen) in target.iter_mut().zip(gradient).zip(chosen) {
                        *target += if *chosen == tap as u16 { *g } else { 0.0 };
                    }
                }
            });
        });
    });
    Ok(())
}

/// Mean of each window, `[batch, rows, columns, channels]`.
///
/// # Errors
/// The shape is impossible, or a slice does not fit it.
pub fn average_pool2d_forward(
    path: Path,
    shape: &Pool2d,
    input: &[f32],
    output: &mut [f32],
) -> Result<(), KernelError> {
    let size = shape.output()?;
    check_len("output", output, shape.output_len()?)?;
    check_len("input", input, shape.input_len())?;
    let image = size[0] * size[1] * shape.channels;
    let share = share(shape);
    for_chunks(output, image, |index, output| {
        let input = &input[index * shape.input_image()..][..shape.input_image()];
        vectorised(path, || {
            shape.each_window(size, |at, window| {
                let output = &mut output[at..][..shape.channels];
                output.fill(0.0);
                for from in window {
                    let x = &input[from..][..shape.channels];
                    for (y, x) in output.iter_mut().zip(x) {
                        *y += x;
                    }
                }
                for y in output {
                    *y *= share;
                }
            });
        });
    });
    Ok(())
}

/// Gradient of the input: each pixel of a window gets its share.
///
/// # Errors
/// The shape is impossible, or a slice does not fit it.
pub fn average_pool2d_backward(
    path: Path,
    shape: &Pool2d,
    output_gradient: &[f32],
    input_gradient: &mut [f32],
) -> Result<(), KernelError> {
    let size = shape.output()?;
    check_len("output_gradient", output_gradient, shape.output_len()?)?;
    check_len("input_gradient", input_gradient, shape.input_len())?;
    let image = size[0] * size[1] * shape.channels;
    let share = share(shape);
    for_chunks(input_gradient, shape.input_image(), |index, target| {
        let gradient = &output_gradient[index * image..][..image];
        vectorised(path, || {
            target.fill(0.0);
            shape.each_window(size, |at, window| {
                let gradient = &gradient[at..][..shape.channels];
                for to in window {
                    let target = &mut target[to..][..shape.channels];
                    for (target, g) in target.iter_mut().zip(gradient) {
                        *target += g * share;
                    }
                }
            });
        });
    });
    Ok(())
}

/// What a pixel counts in its window's mean.
fn share(shape: &Pool2d) -> f32 {
    1.0 / (shape.kernel[0] * shape.kernel[1]) as f32
}
