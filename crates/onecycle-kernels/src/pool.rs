//! Maximum and average over windows, channels-last. A window as large as the image is global pooling.

use crate::error::{KernelError, check_len, check_positive, checked_size};
use crate::parallel::{for_chunk_pairs, for_chunks};
use crate::simd::{Loops, Path, vectorised};

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

    /// Where the channels of each output pixel of an image begin, and those of its window's first pixel.
    #[inline(always)]
    fn windows(&self, [rows, columns]: [usize; 2]) -> impl Iterator<Item = (usize, usize)> {
        let Pool2d {
            channels,
            width,
            stride,
            ..
        } = *self;
        (0..rows * columns).map(move |pixel| {
            let (y, x) = (pixel / columns * stride[0], pixel % columns * stride[1]);
            (pixel * channels, (y * width + x) * channels)
        })
    }

    /// Where the channels of the pixels of a window begin, `first` its first, in row-major order.
    #[inline(always)]
    fn pixels(&self, first: usize) -> impl Iterator<Item = usize> {
        let Pool2d {
            channels,
            width,
            kernel: [height, across],
            ..
        } = *self;
        (0..height * across)
            .map(move |tap| first + (tap / across * width + tap % across) * channels)
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
        vectorised(
            path,
            MaxForward {
                shape,
                size,
                input,
                output,
                chosen,
            },
        );
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
        vectorised(
            path,
            MaxBackward {
                shape,
                size,
                gradient,
                chosen,
                target,
            },
        );
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
        vectorised(
            path,
            AverageForward {
                shape,
                size,
                share,
                input,
                output,
            },
        );
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
        vectorised(
            path,
            AverageBackward {
                shape,
                size,
                share,
                gradient,
                target,
            },
        );
    });
    Ok(())
}

/// What a pixel counts in its window's mean.
fn share(shape: &Pool2d) -> f32 {
    1.0 / (shape.kernel[0] * shape.kernel[1]) as f32
}

/// An image of [`max_pool2d_forward`].
struct MaxForward<'a> {
    shape: &'a Pool2d,
    size: [usize; 2],
    input: &'a [f32],
    output: &'a mut [f32],
    chosen: &'a mut [u16],
}

impl Loops for MaxForward<'_> {
    #[inline(always)]
    fn run(self) {
        let channels = self.shape.channels;
        for (at, first) in self.shape.windows(self.size) {
            let best = &mut self.output[at..][..channels];
            let chosen = &mut self.chosen[at..][..channels];
            best.copy_from_slice(&self.input[first..][..channels]);
            chosen.fill(0);
            for (tap, from) in self.shape.pixels(first).enumerate().skip(1) {
                let x = &self.input[from..][..channels];
                for ((best, chosen), x) in best.iter_mut().zip(&mut *chosen).zip(x) {
                    let larger = *x > *best || x.is_nan();
                    *best = if larger { *x } else { *best };
                    *chosen = if larger { tap as u16 } else { *chosen };
                }
            }
        }
    }
}

/// An image of [`max_pool2d_backward`].
struct MaxBackward<'a> {
    shape: &'a Pool2d,
    size: [usize; 2],
    gradient: &'a [f32],
    chosen: &'a [u16],
    target: &'a mut [f32],
}

impl Loops for MaxBackward<'_> {
    #[inline(always)]
    fn run(self) {
        let channels = self.shape.channels;
        self.target.fill(0.0);
        for (at, first) in self.shape.windows(self.size) {
            let gradient = &self.gradient[at..][..channels];
            let chosen = &self.chosen[at..][..channels];
            for (tap, to) in self.shape.pixels(first).enumerate() {
                let target = &mut self.target[to..][..channels];
                for ((target, g), chosen) in target.iter_mut().zip(gradient).zip(chosen) {
                    // By bits: of a condition on channels that fill no vector, the compiler makes a branch, and nobody
                    // can foresee which pixel was chosen.
                    let all_or_none = u32::from(*chosen == tap as u16).wrapping_neg();
                    *target += f32::from_bits(g.to_bits() & all_or_none);
                }
            }
        }
    }
}

/// An image of [`average_pool2d_forward`].
struct AverageForward<'a> {
    shape: &'a Pool2d,
    size: [usize; 2],
    share: f32,
    input: &'a [f32],
    output: &'a mut [f32],
}

impl Loops for AverageForward<'_> {
    #[inline(always)]
    fn run(self) {
        let channels = self.shape.channels;
        for (at, first) in self.shape.windows(self.size) {
            let output = &mut self.output[at..][..channels];
            output.fill(0.0);
            for from in self.shape.pixels(first) {
                for (y, x) in output.iter_mut().zip(&self.input[from..][..channels]) {
                    *y += x;
                }
            }
            for y in output {
                *y *= self.share;
            }
        }
    }
}

/// An image of [`average_pool2d_backward`].
struct AverageBackward<'a> {
    shape: &'a Pool2d,
    size: [usize; 2],
    share: f32,
    gradient: &'a [f32],
    target: &'a mut [f32],
}

impl Loops for AverageBackward<'_> {
    #[inline(always)]
    fn run(self) {
        let channels = self.shape.channels;
        self.target.fill(0.0);
        for (at, first) in self.shape.windows(self.size) {
            let gradient = &self.gradient[at..][..channels];
            for to in self.shape.pixels(first) {
                let target = &mut self.target[to..][..channels];
                for (target, g) in target.iter_mut().zip(gradient) {
                    *target += g * self.share;
                }
            }
        }
    }
}
