//! Convolution with a window of 3 x 3 in a quarter of the multiplications (Winograd 1980; Lavin & Gray 2016, "Fast
//! algorithms for convolutional neural networks", section 4).
//!
//! A tile of 4 x 4 outputs sees 6 x 6 inputs. Both sides are transformed, multiplied point by point, summed over the
//! channels, and transformed back:
//!
//! ```text
//! Y = Aᵀ [ (G w Gᵀ) ⊙ (Bᵀ d B) ] A             36 products instead of 144
//! ```
//!
//! The 36 points are independent products of matrices, `[tiles, channels]` times `[channels, out channels]`, and run through
//! the register tile of all others. The gradient of the weights is the same with other matrices: `F(3 x 3, 4 x 4)` in place
//! of `F(4 x 4, 3 x 3)`, over the same points of interpolation and so with the same `Bᵀ d B`.
//!
//! The points are 0, ±3/4, ±3/2 and infinity, which round less than the usual 0, ±1, ±2: at 64 channels the result is about
//! 2.6 times as far from the exact one as a direct sum in single precision (`tests/winograd.rs` measures it).

mod by_points;
mod pass;
mod soon;
mod transform;
mod weight_gradient;

pub(crate) use by_points::{applies as applies_to_weights_by_points, run as run_weights_by_points};
pub(crate) use pass::Prepared;
pub(crate) use weight_gradient::{applies as applies_to_weights, run as run_weights};

use super::axis::Axis;
use crate::simd::Path;
use crate::workspace::{Buffer, Workspace};
use transform::Strip;

/// Outputs of a tile in each direction.
const OUTPUTS: usize = 4;
/// Inputs of a tile in each direction: outputs plus window less one.
const INPUTS: usize = 6;
/// Points of a tile.
const POINTS: usize = INPUTS * INPUTS;
/// Floats between the points beyond what they take: without, they would lie a power of two apart, all in the same few
/// lines of the first-level cache.
const SKEW: usize = 16;
/// At most this many places of the tiles for each output that is there: tiles reach beyond small images.
const MOST_WASTE: f64 = 1.6;

/// Whether a pass is one for this algorithm: a window of 3 x 3 with stride 1, whole vectors of channels, and an image that
/// tiles fit.
pub(crate) fn applies(
    path: Path,
    phases: &[[Axis; 2]],
    channels: usize,
    out_channels: usize,
) -> bool {
    let [axes] = phases else { return false };
    let dense = axes
        .iter()
        .all(|axis| axis.taps == 3 && axis.step == 1 && axis.place_step == 1 && axis.first <= 0);
    dense
        && channels.is_multiple_of(path.lanes())
        && out_channels.is_multiple_of(path.lanes())
        && waste([axes[0].outputs, axes[1].outputs]) <= MOST_WASTE
}

/// Images whose tiles may reach beyond them.
#[derive(Clone, Copy, Debug)]
struct Plane {
    height: usize,
    width: usize,
    channels: usize,
    /// Rows above and columns to the left of the image that the first tiles see.
    before: [usize; 2],
    /// Tiles, down and across.
    tiles: [usize; 2],
}

impl Plane {
    /// Floats of an image.
    fn len(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// Floats of a row.
    fn row_len(&self) -> usize {
        self.width * self.channels
    }

    /// The rows that the tiles of row `down` see, `zeros` being a row of zeros.
    fn strip<'a>(&self, image: &'a [f32], down: usize, zeros: &'a [f32]) -> Strip<'a> {
        let row = |i: usize| {
            let y = (down * OUTPUTS + i).checked_sub(self.before[0])?;
            (y < self.height).then(|| &image[y * self.row_len()..][..self.row_len()])
        };
        Strip {
            channels: self.channels,
            across: self.tiles[1],
            left: self.before[1],
            rows: [row(0), row(1), row(2), row(3), row(4), row(5)],
            zeros,
        }
    }
}

/// Values of tiles at all points, `[point][tile][channel]`.
struct Points<'w> {
    values: Buffer<'w>,
    /// Floats from one point to the next.
    stride: usize,
}

impl<'w> Points<'w> {
    fn new(workspace: &'w Workspace, tiles: usize, channels: usize) -> Self {
        let stride = tiles * channels + SKEW;
        Points {
            values: workspace.take(POINTS * stride),
            stride,
        }
    }
}

/// Tiles in each direction.
fn tiles(outputs: [usize; 2]) -> [usize; 2] {
    outputs.map(|outputs| outputs.div_ceil(OUTPUTS))
}

/// Places of the tiles for each output.
fn waste(outputs: [usize; 2]) -> f64 {
    let [down, across] = tiles(outputs);
    (down * across * OUTPUTS * OUTPUTS) as f64 / (outputs[0] * outputs[1]) as f64
}
