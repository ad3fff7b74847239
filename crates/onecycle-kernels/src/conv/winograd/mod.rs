//! Winograd convolution for 3 x 3 windows with stride 1: a quarter of the multiplications (Winograd
//! 1980; Lavin & Gray 2016, "Fast algorithms for convolutional neural networks", section 4).
//!
//! `F(4x4, 3x3)` computes a tile of 4 x 4 outputs from 6 x 6 inputs. Inputs and weights are
//! transformed, multiplied elementwise, summed over the channels, and transformed back:
//!
//! ```text
//! Y = Aᵀ [ (G w Gᵀ) ⊙ (Bᵀ d B) ] A             36 products instead of 144
//! ```
//!
//! "Point" below means one of the 36 elements of a transformed tile. Each point is an independent
//! matrix product, `[tiles, channels]` times `[channels, out channels]`, that runs on the
//! micro-kernels of [`crate::gemm`]. The gradient of the weights is `F(3x3, 4x4)` with the same
//! interpolation points, so it has the same input transform `Bᵀ d B`.
//!
//! The interpolation points are 0, ±3/4, ±3/2 and infinity, which round less than the usual 0, ±1,
//! ±2 and infinity: with 64 channels the result is about 2.6 times as far from the exact result as
//! a direct sum in single precision (measured by `tests/it/winograd.rs`).

mod data;
mod large_channels;
mod prefetch;
mod transform;
mod weight_gradient;

pub(crate) use data::WinogradConv;
pub(crate) use large_channels::{applies as applies_to_large_channels, run as run_large_channels};
pub(crate) use weight_gradient::{Gradients, applies as applies_to_weights, run as run_weights};

use super::axis::Axis;
use super::geometry::Geometry;
use crate::simd::Isa;
use crate::workspace::{Buffer, Workspace};
use transform::{PointStrides, TileRow};

/// Rows and columns of outputs per tile.
const OUTPUTS: usize = 4;
/// Rows and columns of inputs per tile: outputs plus window minus one.
const INPUTS: usize = 6;
/// Points of a tile.
const POINTS: usize = INPUTS * INPUTS;
/// Floats of padding between points. Without it, points would lie a power of two apart and compete
/// for the same few sets of the first-level cache.
const SKEW: usize = 16;
/// Most tile outputs per actual output; tiles reach beyond the border of small images.
const MAX_WASTE: f64 = 1.6;
/// The same for [`MANY_CHANNELS`], where the transforms cost little compared to the products: images
/// of 3 x 3 and 6 x 6.
const MAX_WASTE_MANY_CHANNELS: f64 = 1.8;
/// Input and output channels from which on the transforms cost little.
const MANY_CHANNELS: usize = 128;

/// Whether the algorithm applies to a forward pass or a gradient of the input.
pub(crate) fn applies_to_data(isa: Isa, geometry: &Geometry) -> bool {
    let [axes] = geometry.phases[..] else {
        return false;
    };
    // Tiles reach at most two rows and columns beyond the last outputs.
    let sides = [geometry.source.height, geometry.source.width];
    let covered = axes.iter().zip(sides).all(|(axis, side)| {
        let reach = axis.outputs.div_ceil(OUTPUTS) * OUTPUTS + INPUTS - OUTPUTS;
        side.saturating_add_signed(-axis.first) <= reach
    });
    covered && applies(isa, axes, [geometry.source.channels, geometry.out_channels])
}

/// Whether the algorithm applies: 3 x 3 windows with stride 1, whole vectors of channels, and an
/// image that tiles do not exceed by too much.
fn applies(isa: Isa, axes: [Axis; 2], channels: [usize; 2]) -> bool {
    let dense = axes
        .iter()
        .all(|axis| axis.taps == 3 && axis.step == 1 && axis.place_step == 1 && axis.first <= 0);
    let max_waste = if channels.iter().all(|c| *c >= MANY_CHANNELS) {
        MAX_WASTE_MANY_CHANNELS
    } else {
        MAX_WASTE
    };
    dense
        && channels.iter().all(|c| c.is_multiple_of(isa.lanes()))
        && waste([axes[0].outputs, axes[1].outputs]) <= max_waste
}

/// Images divided into tiles, which may reach beyond the border.
#[derive(Clone, Copy, Debug)]
struct TiledImage {
    height: usize,
    width: usize,
    channels: usize,
    /// Rows above and columns to the left of the image that the first tiles cover.
    before: [usize; 2],
    /// Number of tiles, vertical and horizontal.
    tiles: [usize; 2],
}

impl TiledImage {
    /// Floats of an image.
    fn len(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// Floats of a row.
    fn row_len(&self) -> usize {
        self.width * self.channels
    }

    /// The rows of `image` that row `down` of the tiles covers. `zeros` is a row of zeros.
    fn tile_row<'a>(&self, image: &'a [f32], down: usize, zeros: &'a [f32]) -> TileRow<'a> {
        let row = |i: usize| {
            let y = (down * OUTPUTS + i).checked_sub(self.before[0])?;
            (y < self.height).then(|| &image[y * self.row_len()..][..self.row_len()])
        };
        TileRow {
            channels: self.channels,
            across: self.tiles[1],
            left: self.before[1],
            rows: [row(0), row(1), row(2), row(3), row(4), row(5)],
            zeros,
        }
    }
}

/// Transformed tiles, `[point][tile][channel]`.
struct Points<'w> {
    values: Buffer<'w>,
    /// Distance between points.
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

    /// Distances between points and between tiles.
    fn strides(&self, channels: usize) -> PointStrides {
        PointStrides {
            point: self.stride,
            tile: channels,
        }
    }
}

/// Number of tiles in each direction.
fn tiles(outputs: [usize; 2]) -> [usize; 2] {
    outputs.map(|outputs| outputs.div_ceil(OUTPUTS))
}

/// Tile outputs per actual output.
fn waste(outputs: [usize; 2]) -> f64 {
    let [down, across] = tiles(outputs);
    (down * across * OUTPUTS * OUTPUTS) as f64 / (outputs[0] * outputs[1]) as f64
}
