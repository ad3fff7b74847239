//! Maximum and average over windows, channels-last. A window as large as the image is global pooling.
#![allow(clippy::needless_range_loop)] // Index loops of constant length are what the compiler turns into registers.

use crate::error::{KernelError, check_len, check_positive, checked_size};
use crate::parallel::{for_chunk_pairs, for_chunks};
use crate::simd::{Kernel, Loops, MAX_LANES, Path, Simd, vectorised};

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
        (0..rows).flat_map(move |y| {
            (0..columns).map(move |x| {
                let first = y * stride[0] * width + x * stride[1];
                ((y * columns + x) * channels, first * channels)
            })
        })
    }

    /// Whether a pixel may lie in several windows.
    fn overlaps(&self) -> bool {
        self.kernel[0] > self.stride[0] || self.kernel[1] > self.stride[1]
    }

    /// Whether every pixel lies in a window.
    fn covered(&self, size: [usize; 2]) -> bool {
        let [height, width] = [0, 1].map(|i| size[i] * self.stride[i]);
        self.kernel == self.stride && [height, width] == [self.height, self.width]
    }

    /// Where the channels of the pixels of a window begin, counted from those of its first, in row-major order.
    fn taps(&self) -> Vec<usize> {
        let [height, across] = self.kernel;
        (0..height)
            .flat_map(|y| (0..across).map(move |x| (y * self.width + x) * self.channels))
            .collect()
    }
}

/// As many of a slice's values from `at` on as a vector holds, of which `count` matter: the others are whatever follows, or 0.
///
/// # Safety
/// As [`Simd`]; `count` values are there, at most a vector.
#[inline(always)]
unsafe fn read<S: Simd>(values: &[f32], at: usize, count: usize) -> S::V {
    debug_assert!(count <= S::LANES && at + count <= values.len());
    // SAFETY: a whole vector is read where it lies in the slice, else the caller's guarantee.
    unsafe {
        let from = values.as_ptr().add(at);
        if at + S::LANES <= values.len() {
            S::load(from)
        } else {
            S::load_first(from, count)
        }
    }
}

/// Writes `count` values from `at` on, and over what follows where a vector fits.
///
/// # Safety
/// As [`read`].
#[inline(always)]
unsafe fn write<S: Simd>(values: &mut [f32], at: usize, vector: S::V, count: usize) {
    debug_assert!(count <= S::LANES && at + count <= values.len());
    // SAFETY: as in `read`.
    unsafe {
        let to = values.as_mut_ptr().add(at);
        if at + S::LANES <= values.len() {
            S::store(to, vector);
        } else {
            S::store_first(to, vector, count);
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
    let taps = shape.taps();
    for_chunk_pairs((output, chosen), [image; 2], |index, output, chosen| {
        let input = &input[index * shape.input_image()..][..shape.input_image()];
        path.run(MaxForward {
            shape,
            size,
            taps: &taps,
            input,
            output,
            chosen,
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
    let taps = shape.taps();
    for_chunks(input_gradient, shape.input_image(), |index, target| {
        let gradient = &output_gradient[index * image..][..image];
        let chosen = &chosen[index * image..][..image];
        path.run(MaxBackward {
            shape,
            size,
            taps: &taps,
            gradient,
            chosen,
            target,
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
    let taps = shape.taps();
    let share = share(shape);
    for_chunks(output, image, |index, output| {
        let input = &input[index * shape.input_image()..][..shape.input_image()];
        vectorised(
            path,
            AverageForward {
                shape,
                size,
                taps: &taps,
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
    let taps = shape.taps();
    let share = share(shape);
    for_chunks(input_gradient, shape.input_image(), |index, target| {
        let gradient = &output_gradient[index * image..][..image];
        vectorised(
            path,
            AverageBackward {
                shape,
                size,
                taps: &taps,
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
    taps: &'a [usize],
    input: &'a [f32],
    output: &'a mut [f32],
    chosen: &'a mut [u16],
}

impl Kernel for MaxForward<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let channels = self.shape.channels;
        for (at, first) in self.shape.windows(self.size) {
            for c in (0..channels).step_by(S::LANES) {
                let count = S::LANES.min(channels - c);
                let mut taps = [0.0; MAX_LANES];
                // SAFETY: the caller has the instructions; the window's pixels have `count` channels from `c` on, as does
                // the output's. What is written beyond is of pixels that follow, and is written again.
                unsafe {
                    let mut best = read::<S>(self.input, first + c, count);
                    let mut chosen = S::splat(0.0);
                    for (tap, offset) in self.taps.iter().enumerate().skip(1) {
                        let x = read::<S>(self.input, first + offset + c, count);
                        chosen = S::where_larger(x, best, S::splat(tap as f32), chosen);
                        best = S::where_larger(x, best, x, best);
                    }
                    write::<S>(self.output, at + c, best, count);
                    S::store(taps.as_mut_ptr(), chosen);
                }
                // SAFETY: the numbers of pixels, fewer than 2^16.
                unsafe { write_taps::<S>(&mut self.chosen[at + c..], taps, count) }
            }
        }
    }
}

/// An image of [`max_pool2d_backward`].
struct MaxBackward<'a> {
    shape: &'a Pool2d,
    size: [usize; 2],
    taps: &'a [usize],
    gradient: &'a [f32],
    chosen: &'a [u16],
    target: &'a mut [f32],
}

impl Kernel for MaxBackward<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let channels = self.shape.channels;
        let overlap = self.shape.overlaps();
        if overlap || !self.shape.covered(self.size) {
            self.target.fill(0.0);
        }
        for (at, first) in self.shape.windows(self.size) {
            for c in (0..channels).step_by(S::LANES) {
                let count = S::LANES.min(channels - c);
                let taps = read_taps::<S>(&self.chosen[at + c..], count);
                // SAFETY: the caller has the instructions; the pixels of both sides have `count` channels from `c` on.
                unsafe {
                    let chosen = S::load(taps.as_ptr());
                    let gradient = some::<S>(self.gradient.as_ptr().add(at + c), count);
                    for (tap, offset) in self.taps.iter().enumerate() {
                        let to = self.target.as_mut_ptr().add(first + offset + c);
                        let zero = S::splat(0.0);
                        let mut sum = S::where_equal(chosen, S::splat(tap as f32), gradient, zero);
                        if overlap {
                            sum = S::add(some::<S>(to, count), sum);
                        }
                        if count == S::LANES {
                            S::store(to, sum);
                        } else {
                            S::store_first(to, sum, count);
                        }
                    }
                }
            }
        }
    }
}

/// Numbers of pixels that were chosen, `count` at least: a vector where there are enough, since the loop is then of a constant
/// length.
#[inline(always)]
fn read_taps<S: Simd>(chosen: &[u16], count: usize) -> [f32; MAX_LANES] {
    let mut taps = [0.0; MAX_LANES];
    if chosen.len() >= S::LANES {
        for i in 0..S::LANES {
            taps[i] = f32::from(chosen[i]);
        }
    } else {
        for i in 0..count {
            taps[i] = f32::from(chosen[i]);
        }
    }
    taps
}

/// The reverse of [`read_taps`].
///
/// # Safety
/// All of `taps` are whole numbers from 0 to 2^16 - 1.
#[inline(always)]
unsafe fn write_taps<S: Simd>(chosen: &mut [u16], taps: [f32; MAX_LANES], count: usize) {
    // SAFETY: the caller's guarantee.
    unsafe {
        if chosen.len() >= S::LANES {
            for i in 0..S::LANES {
                chosen[i] = taps[i].to_int_unchecked::<i32>() as u16;
            }
        } else {
            for i in 0..count {
                chosen[i] = taps[i].to_int_unchecked::<i32>() as u16;
            }
        }
    }
}

/// `count` values, at most a vector; the others are 0.
///
/// # Safety
/// As [`Simd`]; `count` values are readable.
#[inline(always)]
unsafe fn some<S: Simd>(values: *const f32, count: usize) -> S::V {
    // SAFETY: the caller's guarantee.
    unsafe {
        if count == S::LANES {
            S::load(values)
        } else {
            S::load_first(values, count)
        }
    }
}

/// An image of [`average_pool2d_forward`].
struct AverageForward<'a> {
    shape: &'a Pool2d,
    size: [usize; 2],
    taps: &'a [usize],
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
            for from in self.taps.iter().map(|tap| first + tap) {
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
    taps: &'a [usize],
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
            for to in self.taps.iter().map(|tap| first + tap) {
                let target = &mut self.target[to..][..channels];
                for (target, g) in target.iter_mut().zip(gradient) {
                    *target += g * self.share;
                }
            }
        }
    }
}
