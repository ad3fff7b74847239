//! Max and average pooling of channels-last images.
//!
//! One vector holds neighbouring channels, so windows need no shuffles. Max pooling tracks the
//! position of the maximum as a float per lane, which is exact up to 2^24.
#![allow(clippy::needless_range_loop)] // Loops over indices keep arrays in registers.

use crate::error::{KernelError, check_len, check_positive, checked_size};
use crate::kernels::Kernels;
use crate::parallel::{for_chunk_pairs, for_chunks};
use crate::simd::{MAX_LANES, PlainLoops, Simd, WithSimd, vectorised};

/// Shape of a 2-D pooling. Images are `[batch, height, width, channels]`; pairs are
/// `[vertical, horizontal]`. Rows and columns at the end that no window reaches are ignored, as in
/// PyTorch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool2d {
    /// Number of images.
    pub batch: usize,
    /// Number of channels.
    pub channels: usize,
    /// Rows of the input.
    pub height: usize,
    /// Columns of the input.
    pub width: usize,
    /// Rows and columns of the window, which has at most 2^16 pixels.
    pub kernel: [usize; 2],
    /// Distance between neighbouring windows.
    pub stride: [usize; 2],
    /// Rows and columns on each side of the image that windows may cover, at most half of the kernel.
    /// Padding never is the maximum, and counts as zeros in a mean (both as in PyTorch).
    pub padding: [usize; 2],
}

/// A pixel of a window: its position in the window, in row-major order, and its offset in the image
/// from another pixel of the window.
type Tap = (usize, usize);

impl Pool2d {
    /// Global pooling: the whole image is one window.
    pub fn global(batch: usize, channels: usize, height: usize, width: usize) -> Pool2d {
        Pool2d {
            batch,
            channels,
            height,
            width,
            kernel: [height, width],
            stride: [1, 1],
            padding: [0, 0],
        }
    }

    /// Rows and columns of the output: `(size + 2 padding - kernel) / stride + 1`, rounded down.
    ///
    /// # Errors
    /// A dimension other than the padding is zero, the padding exceeds half of the kernel, the window
    /// exceeds the padded input or 2^16 pixels, or a tensor exceeds the address space.
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
        let mut padded = size;
        for i in 0..2 {
            let [window, padding] = [self.kernel[i], self.padding[i]];
            if padding > window / 2 {
                return Err(KernelError::Dimension {
                    name: "padding",
                    value: padding,
                    expected: "at most half of the kernel",
                });
            }
            padded[i] = size[i].saturating_add(2 * padding);
            if window > padded[i] {
                let padded = padded[i];
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
        let output = [0, 1].map(|i| (padded[i] - self.kernel[i]) / self.stride[i] + 1);
        checked_size("batch", &[self.batch, output[0], output[1], self.channels])?;
        Ok(output)
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

    /// Weight of a pixel in its window's mean.
    fn average_factor(&self) -> f32 {
        1.0 / (self.kernel[0] * self.kernel[1]) as f32
    }

    /// Floats of an input image.
    fn input_image(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// For each output pixel of an image: its offset, its row and its column.
    #[inline(always)]
    fn outputs(&self, [rows, columns]: [usize; 2]) -> impl Iterator<Item = (usize, [usize; 2])> {
        let channels = self.channels;
        (0..rows)
            .flat_map(move |y| (0..columns).map(move |x| ((y * columns + x) * channels, [y, x])))
    }

    /// The pixels of an output's window that lie in the image: the offset of the first, and all with
    /// their offset from it. `taps` are those of a whole window; `scratch` is overwritten.
    #[inline(always)]
    fn window<'t>(
        &self,
        [y, x]: [usize; 2],
        taps: &'t [Tap],
        scratch: &'t mut Vec<Tap>,
    ) -> (usize, &'t [Tap]) {
        let [y, x] = [y * self.stride[0], x * self.stride[1]];
        let ends = [y + self.kernel[0], x + self.kernel[1]];
        let [top, left] = self.padding;
        let inside =
            y >= top && x >= left && ends[0] <= self.height + top && ends[1] <= self.width + left;
        if inside {
            return (((y - top) * self.width + x - left) * self.channels, taps);
        }
        // Rows and columns of the window that lie in the image.
        let rows = top.saturating_sub(y)..self.kernel[0].min(self.height + top - y);
        let columns = left.saturating_sub(x)..self.kernel[1].min(self.width + left - x);
        let first = (y + rows.start - top) * self.width + x + columns.start - left;
        scratch.clear();
        for r in rows.clone() {
            for s in columns.clone() {
                let offset = (r - rows.start) * self.width + s - columns.start;
                scratch.push((r * self.kernel[1] + s, offset * self.channels));
            }
        }
        (first * self.channels, scratch)
    }

    /// Whether a pixel may lie in several windows.
    fn overlaps(&self) -> bool {
        self.kernel[0] > self.stride[0] || self.kernel[1] > self.stride[1]
    }

    /// Whether every pixel lies in a window.
    fn covered(&self, size: [usize; 2]) -> bool {
        let [height, width] = [0, 1].map(|i| size[i] * self.stride[i]);
        self.kernel == self.stride
            && self.padding == [0, 0]
            && [height, width] == [self.height, self.width]
    }

    /// The pixels of a whole window in row-major order, with their offsets from the first.
    fn taps(&self) -> Vec<Tap> {
        let [height, across] = self.kernel;
        let offsets = (0..height)
            .flat_map(|y| (0..across).map(move |x| (y * self.width + x) * self.channels));
        offsets.enumerate().collect()
    }
}

/// Reads `count` values from `at` on. The other lanes contain the values that follow, or 0.
///
/// # Safety
/// As [`Simd`]; the slice has `count` values from `at` on, at most a vector.
#[inline(always)]
unsafe fn read<S: Simd>(values: &[f32], at: usize, count: usize) -> S::V {
    debug_assert!(count <= S::LANES && at + count <= values.len());
    // SAFETY: a whole vector is read only if it lies in the slice; otherwise the caller's guarantee
    // holds.
    unsafe {
        let from = values.as_ptr().add(at);
        if at + S::LANES <= values.len() {
            S::load(from)
        } else {
            S::load_first(from, count)
        }
    }
}

/// Writes `count` values from `at` on, and overwrites those that follow if a vector fits.
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

/// # Pooling
///
/// Global pooling is a window as large as the image, see [`Pool2d::global`].
impl Kernels {
    /// Computes the maximum of each window, `[batch, rows, columns, channels]`. `argmax` receives
    /// its position in the window, in row-major order; on ties, the first. NaN counts as the
    /// maximum; of several NaN, the last is taken (both as in PyTorch).
    ///
    /// # Errors
    /// The shape is impossible, or the length of a slice differs from it.
    pub fn max_pool2d_forward(
        &self,
        shape: &Pool2d,
        input: &[f32],
        output: &mut [f32],
        argmax: &mut [u16],
    ) -> Result<(), KernelError> {
        let size = shape.output()?;
        check_len("output", output, shape.output_len()?)?;
        check_len("argmax", argmax, shape.output_len()?)?;
        check_len("input", input, shape.input_len())?;
        let image = size[0] * size[1] * shape.channels;
        let taps = shape.taps();
        for_chunk_pairs((output, argmax), [image; 2], |index, output, argmax| {
            let input = &input[index * shape.input_image()..][..shape.input_image()];
            self.isa.run(MaxForward {
                shape,
                size,
                taps: &taps,
                input,
                output,
                argmax,
            });
        });
        Ok(())
    }

    /// Computes the gradient of the input of max pooling: the gradient of each output goes to the
    /// pixel at its `argmax`. Positions outside of the window contribute nothing.
    ///
    /// # Errors
    /// The shape is impossible, or the length of a slice differs from it.
    pub fn max_pool2d_backward(
        &self,
        shape: &Pool2d,
        output_gradient: &[f32],
        argmax: &[u16],
        input_gradient: &mut [f32],
    ) -> Result<(), KernelError> {
        let size = shape.output()?;
        check_len("output_gradient", output_gradient, shape.output_len()?)?;
        check_len("argmax", argmax, shape.output_len()?)?;
        check_len("input_gradient", input_gradient, shape.input_len())?;
        let image = size[0] * size[1] * shape.channels;
        let taps = shape.taps();
        for_chunks(input_gradient, shape.input_image(), |index, target| {
            let gradient = &output_gradient[index * image..][..image];
            let argmax = &argmax[index * image..][..image];
            self.isa.run(MaxBackward {
                shape,
                size,
                taps: &taps,
                gradient,
                argmax,
                target,
            });
        });
        Ok(())
    }

    /// Computes the mean of each window, `[batch, rows, columns, channels]`.
    ///
    /// # Errors
    /// The shape is impossible, or the length of a slice differs from it.
    pub fn average_pool2d_forward(
        &self,
        shape: &Pool2d,
        input: &[f32],
        output: &mut [f32],
    ) -> Result<(), KernelError> {
        let size = shape.output()?;
        check_len("output", output, shape.output_len()?)?;
        check_len("input", input, shape.input_len())?;
        let image = size[0] * size[1] * shape.channels;
        let taps = shape.taps();
        for_chunks(output, image, |index, output| {
            let input = &input[index * shape.input_image()..][..shape.input_image()];
            vectorised(
                self.isa,
                AverageForward {
                    shape,
                    size,
                    taps: &taps,
                    factor: shape.average_factor(),
                    input,
                    output,
                },
            );
        });
        Ok(())
    }

    /// Computes the gradient of the input of average pooling: each pixel of a window receives an
    /// equal share of the gradient of its output.
    ///
    /// # Errors
    /// The shape is impossible, or the length of a slice differs from it.
    pub fn average_pool2d_backward(
        &self,
        shape: &Pool2d,
        output_gradient: &[f32],
        input_gradient: &mut [f32],
    ) -> Result<(), KernelError> {
        let size = shape.output()?;
        check_len("output_gradient", output_gradient, shape.output_len()?)?;
        check_len("input_gradient", input_gradient, shape.input_len())?;
        let image = size[0] * size[1] * shape.channels;
        let taps = shape.taps();
        for_chunks(input_gradient, shape.input_image(), |index, target| {
            let gradient = &output_gradient[index * image..][..image];
            vectorised(
                self.isa,
                AverageBackward {
                    shape,
                    size,
                    taps: &taps,
                    factor: shape.average_factor(),
                    gradient,
                    target,
                },
            );
        });
        Ok(())
    }
}

/// An image of [`Kernels::max_pool2d_forward`].
struct MaxForward<'a> {
    shape: &'a Pool2d,
    size: [usize; 2],
    taps: &'a [Tap],
    input: &'a [f32],
    output: &'a mut [f32],
    argmax: &'a mut [u16],
}

impl WithSimd for MaxForward<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let channels = self.shape.channels;
        let mut scratch = Vec::new();
        for (at, output) in self.shape.outputs(self.size) {
            let (first, window) = self.shape.window(output, self.taps, &mut scratch);
            let [(position, _), rest @ ..] = window else {
                unreachable!("a window contains a pixel of the image")
            };
            let position = *position;
            for c in (0..channels).step_by(S::LANES) {
                let count = S::LANES.min(channels - c);
                let mut taps = [0.0; MAX_LANES];
                // SAFETY: the caller has the instructions; the pixels of the window and of the
                // output have `count` channels from `c` on. Values written beyond belong to pixels
                // that follow, which are written later.
                unsafe {
                    let mut best = read::<S>(self.input, first + c, count);
                    let mut argmax = S::splat(position as f32);
                    for &(tap, offset) in rest {
                        let x = read::<S>(self.input, first + offset + c, count);
                        argmax = S::where_larger(x, best, S::splat(tap as f32), argmax);
                        best = S::where_larger(x, best, x, best);
                    }
                    write::<S>(self.output, at + c, best, count);
                    S::store(taps.as_mut_ptr(), argmax);
                }
                // SAFETY: `taps` are positions in the window, below 2^16.
                unsafe { write_taps::<S>(&mut self.argmax[at + c..], taps, count) }
            }
        }
    }
}

/// An image of [`Kernels::max_pool2d_backward`].
struct MaxBackward<'a> {
    shape: &'a Pool2d,
    size: [usize; 2],
    taps: &'a [Tap],
    gradient: &'a [f32],
    argmax: &'a [u16],
    target: &'a mut [f32],
}

impl WithSimd for MaxBackward<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let channels = self.shape.channels;
        let overlap = self.shape.overlaps();
        if overlap || !self.shape.covered(self.size) {
            self.target.fill(0.0);
        }
        let mut scratch = Vec::new();
        for (at, output) in self.shape.outputs(self.size) {
            let (first, window) = self.shape.window(output, self.taps, &mut scratch);
            for c in (0..channels).step_by(S::LANES) {
                let count = S::LANES.min(channels - c);
                let taps = read_taps::<S>(&self.argmax[at + c..], count);
                // SAFETY: the caller has the instructions; the pixels of input and output have
                // `count` channels from `c` on.
                unsafe {
                    let argmax = S::load(taps.as_ptr());
                    let gradient = read_first::<S>(self.gradient.as_ptr().add(at + c), count);
                    for &(tap, offset) in window {
                        let to = self.target.as_mut_ptr().add(first + offset + c);
                        let zero = S::splat(0.0);
                        let mut sum = S::where_equal(argmax, S::splat(tap as f32), gradient, zero);
                        if overlap {
                            sum = S::add(read_first::<S>(to, count), sum);
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

/// Converts at least `count` positions to floats: a whole vector if there are enough, because the
/// loop then has a constant length.
#[inline(always)]
fn read_taps<S: Simd>(argmax: &[u16], count: usize) -> [f32; MAX_LANES] {
    let mut taps = [0.0; MAX_LANES];
    if argmax.len() >= S::LANES {
        for i in 0..S::LANES {
            taps[i] = f32::from(argmax[i]);
        }
    } else {
        for i in 0..count {
            taps[i] = f32::from(argmax[i]);
        }
    }
    taps
}

/// The reverse of [`read_taps`].
///
/// # Safety
/// All `taps` are integers from 0 to 2^16 - 1.
#[inline(always)]
unsafe fn write_taps<S: Simd>(argmax: &mut [u16], taps: [f32; MAX_LANES], count: usize) {
    // SAFETY: the caller's guarantee.
    unsafe {
        if argmax.len() >= S::LANES {
            for i in 0..S::LANES {
                argmax[i] = taps[i].to_int_unchecked::<i32>() as u16;
            }
        } else {
            for i in 0..count {
                argmax[i] = taps[i].to_int_unchecked::<i32>() as u16;
            }
        }
    }
}

/// Reads `count` values, at most a vector; the other lanes are 0.
///
/// # Safety
/// As [`Simd`]; `count` values are readable.
#[inline(always)]
unsafe fn read_first<S: Simd>(values: *const f32, count: usize) -> S::V {
    // SAFETY: the caller's guarantee.
    unsafe {
        if count == S::LANES {
            S::load(values)
        } else {
            S::load_first(values, count)
        }
    }
}

/// An image of [`Kernels::average_pool2d_forward`].
struct AverageForward<'a> {
    shape: &'a Pool2d,
    size: [usize; 2],
    taps: &'a [Tap],
    /// `1 / window pixels`.
    factor: f32,
    input: &'a [f32],
    output: &'a mut [f32],
}

impl PlainLoops for AverageForward<'_> {
    #[inline(always)]
    fn run(self) {
        let channels = self.shape.channels;
        let mut scratch = Vec::new();
        for (at, output) in self.shape.outputs(self.size) {
            let (first, window) = self.shape.window(output, self.taps, &mut scratch);
            let output = &mut self.output[at..][..channels];
            output.fill(0.0);
            for from in window.iter().map(|(_, offset)| first + offset) {
                for (y, x) in output.iter_mut().zip(&self.input[from..][..channels]) {
                    *y += x;
                }
            }
            for y in output {
                *y *= self.factor;
            }
        }
    }
}

/// An image of [`Kernels::average_pool2d_backward`].
struct AverageBackward<'a> {
    shape: &'a Pool2d,
    size: [usize; 2],
    taps: &'a [Tap],
    /// `1 / window pixels`.
    factor: f32,
    gradient: &'a [f32],
    target: &'a mut [f32],
}

impl PlainLoops for AverageBackward<'_> {
    #[inline(always)]
    fn run(self) {
        let channels = self.shape.channels;
        self.target.fill(0.0);
        let mut scratch = Vec::new();
        for (at, output) in self.shape.outputs(self.size) {
            let (first, window) = self.shape.window(output, self.taps, &mut scratch);
            let gradient = &self.gradient[at..][..channels];
            for to in window.iter().map(|(_, offset)| first + offset) {
                let target = &mut self.target[to..][..channels];
                for (target, g) in target.iter_mut().zip(gradient) {
                    *target += g * self.factor;
                }
            }
        }
    }
}
