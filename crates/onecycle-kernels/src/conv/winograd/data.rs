//! Forward pass and gradient of the input with `F(4x4, 3x3)`.
//!
//! The weights are transformed once per call. Each group of images is transformed, multiplied point
//! by point, and transformed back, in bands of tile rows that fit into the cache.
#![allow(clippy::needless_range_loop)] // Loops over indices keep arrays in registers.

use super::prefetch::Prefetcher;
use super::{INPUTS, OUTPUTS, POINTS, Points, TiledImage, tiles, transform};
use crate::conv::Epilogue;
use crate::conv::geometry::{Geometry, channel_block};
use crate::gemm::Panel;
use crate::kernels::Kernels;
use crate::parallel::for_chunks;
use crate::simd::{Isa, MAX_LANES, Simd, WithSimd};
use crate::workspace::{Buffer, Workspace};

/// Transformed inputs and sums of a group should fit into the second-level cache beside the
/// weights.
const GROUP_BYTES: usize = 512 << 10;
/// Minimum tiles per group; below it, loading the weights costs more than it saves.
const MIN_TILES: usize = 48;
/// Processors with vectors up to this length also have smaller second-level caches (256 or 512 KiB
/// instead of 1 or 2 MiB). They process a group in bands, which leaves cache for images and
/// weights.
const SHORT_LANES: usize = 8;
/// Tiles per band: a multiple of the rows that a panel computes at a time.
const BAND_TILES: usize = 24;
/// Bands are not used if the weights exceed this size, because each band reads all weights again.
const BAND_WEIGHTS_BYTES: usize = 256 << 10;

/// Sizes that do not depend on the images.
struct Tiling<'a> {
    geometry: &'a Geometry,
    source: TiledImage,
    /// Output channels per panel.
    block: usize,
}

impl Tiling<'_> {
    /// Tile rows per band; `usize::MAX` means that a group is one band.
    fn band(&self, isa: Isa) -> usize {
        let weights = POINTS * self.source.channels * self.geometry.out_channels * size_of::<f32>();
        if isa.lanes() <= SHORT_LANES && weights <= BAND_WEIGHTS_BYTES {
            (BAND_TILES / self.source.tiles[1]).max(1)
        } else {
            usize::MAX
        }
    }
}

/// A convolution with transformed weights, for a geometry that Winograd's algorithm
/// [applies to](super::applies_to_data).
pub(crate) struct WinogradConv<'a> {
    tiling: Tiling<'a>,
    kernels: &'a Kernels,
    /// `[block of output channels][point][source channel][output channel]`.
    weights: Buffer<'a>,
    bias: Buffer<'a>,
    /// Smallest and largest output. An activation that does not clamp is left to the caller.
    limits: Option<[f32; 2]>,
}

impl<'a> WinogradConv<'a> {
    /// Transforms `weights`, which are in the order of the tensor.
    pub(crate) fn new(
        kernels: &'a Kernels,
        geometry: &'a Geometry,
        weights: &[f32],
        epilogue: Epilogue,
    ) -> Self {
        let tiling = Tiling {
            geometry,
            source: tiled_source(geometry),
            block: channel_block(kernels.isa, geometry.out_channels),
        };
        let blocks = geometry.out_channels.div_ceil(tiling.block);
        let point = geometry.source.channels * tiling.block;
        let mut points = kernels.workspace.take(POINTS * blocks * point);
        transform_weights(&tiling, kernels.isa, weights, &mut points);
        let mut bias = kernels.workspace.take(geometry.out_channels);
        match epilogue.bias {
            Some(values) => bias.copy_from_slice(values),
            None => bias.fill(0.0),
        }
        WinogradConv {
            tiling,
            kernels,
            weights: points,
            bias,
            limits: epilogue.activation.limits(),
        }
    }

    /// Images to compute together.
    pub(crate) fn group(&self) -> usize {
        let geometry = self.tiling.geometry;
        let [down, across] = self.tiling.source.tiles;
        let channels = geometry.source.channels + geometry.out_channels;
        let tile_bytes = POINTS * channels * size_of::<f32>();
        let tiles = down * across;
        (GROUP_BYTES / (tile_bytes * tiles)).max(MIN_TILES.div_ceil(tiles))
    }

    /// Computes the output images of the given source images, and prefetches memory that this
    /// thread reads next.
    pub(crate) fn run(&self, source: &[f32], output: &mut [f32], prefetch: [&[f32]; 3]) {
        self.kernels.isa.run(Group {
            tiling: &self.tiling,
            workspace: &self.kernels.workspace,
            weights: &self.weights,
            bias: &self.bias,
            limits: self.limits,
            images: source.len() / self.tiling.source.len(),
            source,
            band: self.tiling.band(self.kernels.isa),
            prefetch,
            output,
        });
    }
}

/// Division of the source into tiles.
fn tiled_source(geometry: &Geometry) -> TiledImage {
    let [axes] = &geometry.phases[..] else {
        unreachable!("`applies_to_data` requires one phase")
    };
    TiledImage {
        height: geometry.source.height,
        width: geometry.source.width,
        channels: geometry.source.channels,
        before: axes.map(|axis| axis.first.unsigned_abs()),
        tiles: tiles(geometry.output),
    }
}

/// Computes `G w Gᵀ` as `[block of output channels][point][source channel][output channel]`.
fn transform_weights(tiling: &Tiling, isa: Isa, weights: &[f32], points: &mut [f32]) {
    let point = tiling.geometry.source.channels * tiling.block;
    for_chunks(points, POINTS * point, |index, points| {
        isa.run(Weights {
            tiling,
            weights,
            first: index * tiling.block,
            points,
        });
    });
}

/// The weights of a block of output channels.
struct Weights<'a> {
    tiling: &'a Tiling<'a>,
    weights: &'a [f32],
    first: usize,
    points: &'a mut [f32],
}

impl WithSimd for Weights<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Tiling {
            geometry, block, ..
        } = *self.tiling;
        let [[vertical, horizontal]] = geometry.phases[..] else {
            return;
        };
        let channels = geometry.source.channels;
        for c in 0..channels {
            for lane in (0..block).step_by(S::LANES) {
                let valid = (geometry.out_channels - self.first).saturating_sub(lane);
                let mut taps = [[[0.0f32; MAX_LANES]; 3]; 3];
                for o in 0..valid.min(S::LANES) {
                    let base = (self.first + lane + o) * geometry.weight_strides[0]
                        + c * geometry.weight_strides[1];
                    for (r, row) in taps.iter_mut().enumerate() {
                        for (s, tap) in row.iter_mut().enumerate() {
                            let at = vertical.kernel(r) * geometry.kernel[1] + horizontal.kernel(s);
                            tap[o] = self.weights[base + at];
                        }
                    }
                }
                // SAFETY: the caller has the instructions; a vector fits into `MAX_LANES` floats,
                // and `points` has `POINTS * channels * block` floats.
                unsafe {
                    let mut columns = [[S::splat(0.0); INPUTS]; 3];
                    for s in 0..3 {
                        columns[s] = transform::weights::<S>([
                            S::load(taps[0][s].as_ptr()),
                            S::load(taps[1][s].as_ptr()),
                            S::load(taps[2][s].as_ptr()),
                        ]);
                    }
                    for i in 0..INPUTS {
                        let row =
                            transform::weights::<S>([columns[0][i], columns[1][i], columns[2][i]]);
                        for (j, value) in row.into_iter().enumerate() {
                            let at = ((i * INPUTS + j) * channels + c) * block + lane;
                            S::store(self.points[at..][..S::LANES].as_mut_ptr(), value);
                        }
                    }
                }
            }
        }
    }
}

/// A group of images.
struct Group<'a> {
    tiling: &'a Tiling<'a>,
    workspace: &'a Workspace,
    /// Result of [`transform_weights`].
    weights: &'a [f32],
    bias: &'a [f32],
    limits: Option<[f32; 2]>,
    source: &'a [f32],
    images: usize,
    /// Tile rows per band.
    band: usize,
    /// Memory to prefetch.
    prefetch: [&'a [f32]; 3],
    output: &'a mut [f32],
}

impl WithSimd for Group<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Tiling {
            geometry, source, ..
        } = *self.tiling;
        let [down, across] = source.tiles;
        let (channels, out_channels) = (source.channels, geometry.out_channels);
        let [height, width] = geometry.output;
        debug_assert_eq!(
            self.output.len(),
            self.images * height * width * out_channels
        );
        let rows = self.images * down;
        let band = self.band.min(rows);
        let mut inputs = Points::new(self.workspace, band * across, channels);
        let mut sums = Points::new(self.workspace, band * across, out_channels);
        let mut scratch = self
            .workspace
            .take(INPUTS * transform::scratch_row(across, channels));
        scratch.fill(0.0);
        let mut columns = self
            .workspace
            .take(transform::columns_len(across, out_channels));
        let mut zeros = self.workspace.take(source.row_len());
        zeros.fill(0.0);
        let portions = POINTS * rows.div_ceil(band);
        let mut prefetcher = Prefetcher::new(self.prefetch, self.output, portions);
        for first in (0..rows).step_by(band) {
            let here = first..rows.min(first + band);
            for row in here.clone() {
                let image = &self.source[row / down * source.len()..][..source.len()];
                let at = (row - first) * across * channels;
                // SAFETY: each point has `band * across * channels` floats; channels are whole
                // vectors (`applies`).
                unsafe {
                    transform::input_row::<S>(
                        &source.tile_row(image, row % down, &zeros),
                        &mut scratch,
                        inputs.values[at..].as_mut_ptr(),
                        inputs.strides(channels),
                    );
                }
            }
            // SAFETY: the points have room for the tiles of a band.
            unsafe {
                self.multiply::<S>(here.len() * across, &inputs, &mut sums, &mut prefetcher);
            }
            for row in here {
                let y = row % down * OUTPUTS;
                let height_here = OUTPUTS.min(height - y);
                let at = (row / down * height + y) * width * out_channels;
                let outputs = transform::Outputs {
                    across,
                    height: height_here,
                    bias: self.bias,
                    limits: self.limits,
                    pixels: &mut self.output[at..][..height_here * width * out_channels],
                };
                let at = (row - first) * across * out_channels;
                // SAFETY: as for the inputs.
                unsafe {
                    transform::output_row::<S>(
                        sums.values[at..].as_ptr(),
                        sums.stride,
                        &mut columns,
                        outputs,
                    );
                }
            }
        }
    }
}

impl Group<'_> {
    /// Computes the products at all points, `[tiles, channels]` times `[channels, out channels]`.
    ///
    /// # Safety
    /// As [`Simd`]; each point of `inputs` and `sums` has room for `tiles` tiles.
    #[inline(always)]
    unsafe fn multiply<S: Simd>(
        &self,
        tiles: usize,
        inputs: &Points,
        sums: &mut Points,
        prefetcher: &mut Prefetcher,
    ) {
        let Tiling {
            geometry,
            source,
            block,
        } = *self.tiling;
        let (channels, out_channels) = (source.channels, geometry.out_channels);
        for (index, weights) in self
            .weights
            .chunks_exact(POINTS * channels * block)
            .enumerate()
        {
            let channel = index * block;
            for (point, weights) in weights.chunks_exact(channels * block).enumerate() {
                if index == 0 {
                    prefetcher.advance();
                }
                let inputs = &inputs.values[point * inputs.stride..][..tiles * channels];
                let sums = &mut sums.values[point * sums.stride..][..tiles * out_channels];
                let panel = Panel {
                    rows: tiles,
                    columns: block.min(out_channels - channel),
                    a: inputs.as_ptr(),
                    a_stride: channels,
                    b: weights.as_ptr(),
                    b_stride: block,
                    c: sums[channel..].as_mut_ptr(),
                    c_stride: out_channels,
                    depth: channels,
                };
                // SAFETY: there are `tiles` rows of `channels` inputs and of `out_channels` sums;
                // the weights are whole blocks.
                unsafe { panel.run::<S>() }
            }
        }
    }
}
