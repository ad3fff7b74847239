//! The shape of a convolution.

use crate::error::{KernelError, check_positive, checked_size};

/// Shape of a 2-D convolution (technically a cross-correlation, as in PyTorch), without groups and
/// dilation.
///
/// Images are channels-last and contiguous: input `[batch, height, width, in_channels]`, output
/// `[batch, output height, output width, out_channels]`. Weights are in PyTorch's order,
/// `[out_channels, in_channels, kernel height, kernel width]`. Pairs are `[vertical, horizontal]`.
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
    /// Rows and columns of zeros on each side of the input, at most 32768.
    pub padding: [usize; 2],
}

impl Conv2d {
    /// Rows and columns of the output: `(size + 2 padding - kernel) / stride + 1`, with the quotient
    /// rounded down.
    ///
    /// # Errors
    /// A dimension other than the padding is zero; height, width, kernel, stride or padding exceeds
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
        let mut output = [0; 2];
        let size = [self.height, self.width];
        for i in 0..2 {
            // The limit keeps index arithmetic within `isize`.
            for (name, value) in [
                ("size", size[i]),
                ("kernel", self.kernel[i]),
                ("padding", self.padding[i]),
                ("stride", self.stride[i]),
            ] {
                if value > 1 << 15 {
                    return Err(KernelError::Dimension {
                        name,
                        value,
                        expected: "at most 32768",
                    });
                }
            }
            let padded = size[i] + 2 * self.padding[i];
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
                self.in_channels,
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
        self.in_channels * self.kernel[0] * self.kernel[1]
    }
}
