//! Output, and gradient of the input.
#![allow(clippy::needless_range_loop)] // Index loops of constant length are what the compiler turns into registers.

use super::super::pass::{Pass, block_channels};
use super::soon::Soon;
use super::{INPUTS, OUTPUTS, POINTS, Plane, Points, tiles, transform};
use crate::parallel::for_chunks;
use crate::product::Panel;
use crate::simd::{Kernel, MAX_LANES, Path, Simd};
use crate::workspace::{Buffer, Workspace};

/// Points of inputs and sums that are worked on together should fit into the second-level cache beside the weights.
const GROUP_BYTES: usize = 512 << 10;
/// Fewer tiles than these are not worth it to load a point's weights.
const FEWEST_TILES: usize = 48;
/// Processors whose vectors are no longer than these have smaller second-level caches, too: 256 or 512 KiB in place of one or
/// two MiB. There a group is worked on in bands, so that its points leave room for images and weights...
const SHORT_LANES: usize = 8;
/// ...of about this many tiles, whole blocks of a panel's rows...
const BAND_TILES: usize = 24;
/// ...where the weights, which each band reads again, are not more than this.
const BAND_WEIGHTS_BYTES: usize = 256 << 10;

/// Sizes that the images of a pass share.
struct Sizes<'a> {
    pass: &'a Pass,
    source: Plane,
    block: usize,
}

impl Sizes<'_> {
    /// Rows of tiles that are worked on together, if the group has as many.
    fn band(&self, path: Path) -> usize {
        let weights = POINTS * self.source.channels * self.pass.out_channels * size_of::<f32>();
        if path.lanes() <= SHORT_LANES && weights <= BAND_WEIGHTS_BYTES {
            (BAND_TILES / self.source.tiles[1]).max(1)
        } else {
            usize::MAX
        }
    }
}

/// A pass that this algorithm [applies](super::applies) to, with its weights transformed.
pub(crate) struct Prepared<'a> {
    sizes: Sizes<'a>,
    workspace: &'a Workspace,
    path: Path,
    weights: Buffer<'a>,
    bias: Buffer<'a>,
    relu: bool,
}

impl<'a> Prepared<'a> {
    /// The arguments are those of [`Pass::run`].
    pub(crate) fn new(
        pass: &'a Pass,
        workspace: &'a Workspace,
        path: Path,
        weights: &[f32],
        bias: Option<&[f32]>,
        relu: bool,
    ) -> Self {
        let sizes = Sizes {
            pass,
            source: plane(pass, tiles(pass.output)),
            block: block_channels(path, pass.out_channels),
        };
        let blocks = pass.out_channels.div_ceil(sizes.block);
        let point = pass.source.channels * sizes.block;
        let mut points = workspace.take(POINTS * blocks * point);
        transform_weights(&sizes, path, weights, &mut points);
        let mut every_bias = workspace.take(pass.out_channels);
        match bias {
            Some(bias) => every_bias.copy_from_slice(bias),
            None => every_bias.fill(0.0),
        }
        Prepared {
            sizes,
            workspace,
            path,
            weights: points,
            bias: every_bias,
            relu,
        }
    }

    /// How many images are best worked on together.
    pub(crate) fn group(&self) -> usize {
        let pass = self.sizes.pass;
        let [down, across] = self.sizes.source.tiles;
        let tile_bytes = POINTS * (pass.source.channels + pass.out_channels) * size_of::<f32>();
        let tiles = down * across;
        (GROUP_BYTES / (tile_bytes * tiles)).max(FEWEST_TILES.div_ceil(tiles))
    }

    /// Computes the outputs of some images; `next` is read after them on this thread.
    pub(crate) fn run(&self, source: &[f32], output: &mut [f32], next: [&[f32]; 3]) {
        self.path.run(Group {
            sizes: &self.sizes,
            workspace: self.workspace,
            weights: &self.weights,
            bias: &self.bias,
            relu: self.relu,
            images: source.len() / self.sizes.source.len(),
            source,
            band: self.sizes.band(self.path),
            next,
            output,
        });
    }
}

/// The source as the tiles see it.
fn plane(pass: &Pass, tiles: [usize; 2]) -> Plane {
    let [axes] = &pass.axes[..] else {
        unreachable!("one phase, as `applies` asks")
    };
    Plane {
        height: pass.source.height,
        width: pass.source.width,
        channels: pass.source.channels,
        before: axes.map(|axis| axis.first.unsigned_abs()),
        tiles,
    }
}

/// `G w Gᵀ` as `[block of output channels][point][source channel][output channel]`.
fn transform_weights(sizes: &Sizes, path: Path, weights: &[f32], points: &mut [f32]) {
    let point = sizes.pass.source.channels * sizes.block;
    for_chunks(points, POINTS * point, |index, points| {
        path.run(Weights {
            sizes,
            weights,
            first: index * sizes.block,
            points,
        });
    });
}

/// The weights of a block of output channels.
struct Weights<'a> {
    sizes: &'a Sizes<'a>,
    weights: &'a [f32],
    first: usize,
    points: &'a mut [f32],
}

impl Kernel for Weights<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Sizes { pass, block, .. } = *self.sizes;
        let [[vertical, horizontal]] = pass.axes[..] else {
            return;
        };
        let channels = pass.source.channels;
        for c in 0..channels {
            for lane in (0..block).step_by(S::LANES) {
                let valid = (pass.out_channels - self.first).saturating_sub(lane);
                let mut taps = [[[0.0f32; MAX_LANES]; 3]; 3];
                for o in 0..valid.min(S::LANES) {
                    let base = (self.first + lane + o) * pass.weight_strides[0]
                        + c * pass.weight_strides[1];
                    for (r, row) in taps.iter_mut().enumerate() {
                        for (s, tap) in row.iter_mut().enumerate() {
                            let at = vertical.kernel(r) * pass.kernel[1] + horizontal.kernel(s);
                            tap[o] = self.weights[base + at];
                        }
                    }
                }
                // SAFETY: the caller has the instructions; a vector fits into `MAX_LANES` floats, and `points` has
                // `POINTS` times `channels` times `block` of them.
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

/// Some images.
struct Group<'a> {
    sizes: &'a Sizes<'a>,
    workspace: &'a Workspace,
    /// As [`transform_weights`] leaves them.
    weights: &'a [f32],
    bias: &'a [f32],
    relu: bool,
    source: &'a [f32],
    images: usize,
    /// Rows of tiles that are worked on together.
    band: usize,
    /// Read after these images.
    next: [&'a [f32]; 3],
    output: &'a mut [f32],
}

impl Kernel for Group<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Sizes { pass, source, .. } = *self.sizes;
        let [down, across] = source.tiles;
        let (channels, out_channels) = (source.channels, pass.out_channels);
        let [height, width] = pass.output;
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
        let mut soon = Soon::new(self.next, self.output, POINTS * rows.div_ceil(band));
        for first in (0..rows).step_by(band) {
            let here = first..rows.min(first + band);
            for row in here.clone() {
                let image = &self.source[row / down * source.len()..][..source.len()];
                let at = (row - first) * across * channels;
                // SAFETY: each point has `band * across * channels` floats; channels are whole vectors (`applies`).
                unsafe {
                    transform::input_row::<S>(
                        &source.strip(image, row % down, &zeros),
                        &mut scratch,
                        inputs.values[at..].as_mut_ptr(),
                        inputs.stride,
                    );
                }
            }
            // SAFETY: the points have room for the tiles of a band.
            unsafe {
                multiply::<S>(
                    self.sizes,
                    here.len() * across,
                    self.weights,
                    &inputs,
                    &mut sums,
                    &mut soon,
                );
            }
            for row in here {
                let y = row % down * OUTPUTS;
                let height_here = OUTPUTS.min(height - y);
                let at = (row / down * height + y) * width * out_channels;
                let outputs = transform::Outputs {
                    across,
                    height: height_here,
                    bias: self.bias,
                    relu: self.relu,
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

/// All points' products: `[tiles, channels]` times `[channels, out channels]`.
///
/// # Safety
/// As [`Simd`]; each point of `inputs` and `sums` has room for `tiles` times its channels.
#[inline(always)]
unsafe fn multiply<S: Simd>(
    sizes: &Sizes,
    tiles: usize,
    weights: &[f32],
    inputs: &Points,
    sums: &mut Points,
    soon: &mut Soon,
) {
    let (channels, out_channels) = (sizes.source.channels, sizes.pass.out_channels);
    let block = sizes.block;
    for (index, weights) in weights.chunks_exact(POINTS * channels * block).enumerate() {
        let channel = index * block;
        for (point, weights) in weights.chunks_exact(channels * block).enumerate() {
            if index == 0 {
                soon.prefetch();
            }
            let inputs = &inputs.values[point * inputs.stride..][..tiles * channels];
            let sums = &mut sums.values[point * sums.stride..][..tiles * out_channels];
            let panel = Panel {
                rows: tiles,
                columns: block.min(out_channels - channel),
                a: inputs.as_ptr(),
                a_row: channels,
                b: weights.as_ptr(),
                b_step: block,
                result: sums[channel..].as_mut_ptr(),
                result_row: out_channels,
                terms: channels,
            };
            // SAFETY: there are `tiles` rows of `channels` inputs and `out_channels` sums; weights are whole blocks.
            unsafe { panel.run::<S>() }
        }
    }
}
