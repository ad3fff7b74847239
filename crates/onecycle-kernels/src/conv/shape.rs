//! The shape of a convolution.

use crate::error::{KernelError, check_positive, checked_size};

/// Largest height, width, kernel, stride and padding. It keeps index arithmetic within `isize`.
const MAX_SIDE: usize = 1 << 15;

/// Shape of a 2-D convolution (technically a cross-correlation, as in PyTorch), without dilation.
///
/// Images are channels-last and contiguous: input `[batch, height, width, in_channels]`, output
/// `[batch, output height, output width, out_channels]`. Weights are in PyTorch's order,
/// `[out_channels, in_channels / groups, kernel height, kernel width]`. Pairs are `[vertical, horizontal]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conv2d {
    /// Number of images.
    pub batch: usize,
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Rows of the input without padding, at most 32768.
    pub height: usize,
    /// Columns of the input without padding, at most 32768.
    pub width: usize,
    /// Rows and columns of the kernel, at most 32768 each.
    pub kernel: [usize; 2],
    /// Distance between neighbouring windows, at most 32768.
    pub stride: [usize; 2],
    /// Zeros around the input: `[[rows above, rows below], [columns left, columns right]]`, at most
    /// 32768 each.
    pub padding: [[usize; 2]; 2],
    /// Groups of channels: 1, or the number of input channels for a depthwise convolution, which has
    /// as many output channels.
    pub groups: usize,
}

impl Conv2d {
    /// Rows and columns of the output: `(size + padding - kernel) / stride + 1` with the padding of
    /// both sides, and with the quotient rounded down.
    ///
    /// # Errors
    /// A dimension other than the padding is zero; there are several groups, but not as many as input
    /// and output channels; height, width, kernel, stride or padding exceeds
    /// 32768; the kernel exceeds the padded input; or a tensor exceeds the address space.
    pub fn output(&self) -> Result<[usize; 2], KernelError> {
        for (name, value) in [
            ("batch", self.batch),
            ("in_channels", self.in_channels),
            ("out_channels", self.out_channels),
            ("height", self.height),
            ("width", self.width),
            ("kernel", self.kernel[0].min(self.kernel[1])),
            ("stride", self.stride[0].min(self.stride[1])),
        ] {
            check_positive(name, value)?;
        }
        if self.groups != 1 && [self.in_channels, self.out_channels] != [self.groups; 2] {
            return Err(KernelError::Dimension {
                name: "groups",
                value: self.groups,
                expected: "1, or the number of both input and output channels",
            });
        }
        let mut output = [0; 2];
        let size = [self.height, self.width];
        for i in 0..2 {
            for (name, value) in [
                ("size", size[i]),
                ("kernel", self.kernel[i]),
                ("padding", self.padding[i][0]),
                ("padding", self.padding[i][1]),
                ("stride", self.stride[i]),
            ] {
                if value > MAX_SIDE {
                    return Err(KernelError::Dimension {
                        name,
                        value,
                        expected: "at most 32768",
                    });
                }
            }
            let padded = size[i] + self.padding[i][0] + self.padding[i][1];
            if self.kernel[i] > padded {
                return Err(KernelError::Window {
                    window: self.kernel[i],
                    padded,
                });
            }
            output[i] = (padded - self.kernel[i]) / self.stride[i] + 1;
        }
        checked_size(
            "batch",
            &[self.batch, self.in_channels, self.height, self.width],
        )?;
        checked_size(
            "batch",
            &[self.batch, self.out_channels, output[0], output[1]],
        )?;
        checked_size(
            "kernel",
            &[
                self.out_channels,
                self.in_channels / self.groups,
                self.kernel[0],
                self.kernel[1],
            ],
        )?;
        Ok(output)
    }

    /// Elements of the input.
    pub fn input_len(&self) -> usize {
        self.batch * self.height * self.width * self.in_channels
    }

    /// Elements of the weights.
    pub fn weight_len(&self) -> usize {
        self.out_channels * self.taps()
    }

    /// Elements of the output.
    ///
    /// # Errors
    /// As [`Conv2d::output`].
    pub fn output_len(&self) -> Result<usize, KernelError> {
        let [rows, columns] = self.output()?;
        Ok(self.batch * self.out_channels * rows * columns)
    }

    /// Floating-point operations of the forward pass, counting a multiply-add as two. Each gradient
    /// takes the same number.
    ///
    /// # Errors
    /// As [`Conv2d::output`].
    pub fn flops(&self) -> Result<f64, KernelError> {
        Ok(2.0 * self.output_len()? as f64 * self.taps() as f64)
    }

    /// Weights per output channel.
    pub(crate) fn taps(&self) -> usize {
        self.in_channels / self.groups.max(1) * self.kernel[0] * self.kernel[1]
    }

    /// The same convolution with the pixels of all images cut into equal rows, each an image of its own,
    /// if the window is a single pixel: a plain matrix product, whose register tiles then end neither
    /// with a row nor with an image. The order of values in memory stays the same.
    ///
    /// The rows have at most `most` pixels. If only very short rows divide the number of pixels, they have
    /// more, and if no length divides it, the shape stays the same. So do images of one pixel: these are
    /// linear layers.
    pub(crate) fn flattened(&self, most: usize) -> Conv2d {
        const SHORT: usize = 4;

        let pixels = self.height * self.width;
        let pointwise =
            self.kernel == [1, 1] && self.stride == [1, 1] && self.padding == [[0; 2]; 2];
        if !pointwise || self.groups != 1 || pixels < 2 {
            return *self;
        }
        let all = self.batch * pixels;
        let divides = |width: &usize| all.is_multiple_of(*width);
        let least = most.div_ceil(SHORT).min(all);
        let width = (least..=most.min(all)).rev().find(divides);
        let width = width.or_else(|| (most + 1..=MAX_SIDE.min(all)).find(divides));
        let Some(width) = width else {
            return *self;
        };
        Conv2d {
            batch: all / width,
            height: 1,
            width,
            ..*self
        }
    }

    /// As many pixels as the second-level cache holds, input and output together. With many channels it is
    /// a few more, because all weights are read once for each row.
    pub(crate) fn cached_pixels(&self) -> usize {
        const FLOATS: usize = (256 << 10) / size_of::<f32>();
        const MANY_WEIGHTS: usize = (1 << 20) / size_of::<f32>();
        let least = if self.weight_len() > MANY_WEIGHTS {
            128
        } else {
            64
        };
        (FLOATS / (self.in_channels + self.out_channels)).clamp(least, MAX_SIDE)
    }

    /// Whether each channel has a window of its own.
    pub(crate) fn is_depthwise(&self) -> bool {
        self.groups > 1
    }
}
