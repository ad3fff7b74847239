//! Forward and backward-data: the same pass over packed images.

use super::geometry::Geometry;
use super::pack::{pack, packed_len, unpack};
use super::tile::ForwardTile;
use crate::parallel::for_chunks;
use crate::simd::{Kernel, MAX_LANES, Path, Simd};
use crate::workspace::Workspace;

/// Above this many bytes of packed weights a block of output channels is taken through the whole image before the next,
/// so that its weights stay in cache; below, a tile of pixels meets all output channels.
const WEIGHTS_IN_CACHE: usize = 192 << 10;

/// Vectors of places in a tile.
const TILE_VECTORS: usize = 3;

/// A pass with all that does not depend on the image.
struct Pass<'a> {
    geometry: &'a Geometry,
    lanes: usize,
    /// Places (times lanes) and vectors of each tile.
    tiles: Vec<(usize, usize)>,
    /// For each phase the offset of each tap, times lanes.
    offsets: Vec<Vec<u32>>,
    /// `[phase][block of output channels][tap][channel]`
    weights: &'a [f32],
    /// As many values as blocks have channels.
    bias: &'a [f32],
}

/// Runs a pass over `batch` images. `weights` is in the tensor's order; see [`Geometry`].
#[allow(clippy::too_many_arguments)]
pub(crate) fn run(
    workspace: &Workspace,
    path: Path,
    geometry: &Geometry,
    lanes: usize,
    source: &[f32],
    weights: &[f32],
    bias: Option<&[f32]>,
    output: &mut [f32],
) {
    let block = path.tile_channels();
    let channels = geometry.output_channels.next_multiple_of(block);
    let taps: usize = geometry.phases.iter().map(Vec::len).sum();
    let mut packed_weights = workspace.take(channels * taps);
    pack_weights(geometry, block, weights, &mut packed_weights);
    let mut padded_bias = workspace.take(channels);
    padded_bias.fill(0.0);
    if let Some(bias) = bias {
        padded_bias[..bias.len()].copy_from_slice(bias);
    }
    let pass = Pass {
        geometry,
        lanes,
        tiles: tiles(geometry, lanes, path.lanes()),
        offsets: geometry
            .phases
            .iter()
            .map(|taps| taps.iter().map(|tap| (tap.offset * lanes) as u32).collect())
            .collect(),
        weights: &packed_weights,
        bias: &padded_bias,
    };
    let source_image = geometry.source_channels * geometry.source.pixels;
    let output_image = geometry.output_channels * geometry.output.pixels;
    for_chunks(output, lanes * output_image, |group, output| {
        let images = output.len() / output_image;
        let source = &source[group * lanes * source_image..][..images * source_image];
        path.run(Group {
            pass: &pass,
            workspace,
            images,
            source,
            output,
        });
    });
}

/// `[phase][block][tap][channel]`; channels beyond the last are zero.
fn pack_weights(geometry: &Geometry, block: usize, weights: &[f32], packed: &mut [f32]) {
    let channels = geometry.output_channels.next_multiple_of(block);
    let mut rest = packed;
    for taps in &geometry.phases {
        let (phase, after) = rest.split_at_mut(channels * taps.len());
        rest = after;
        if taps.is_empty() {
            continue;
        }
        for_chunks(phase, block * taps.len(), |index, target| {
            let first = index * block;
            let valid = block.min(geometry.output_channels - first);
            for (tap, target) in taps.iter().zip(target.chunks_exact_mut(block)) {
                target[valid..].fill(0.0);
                for (o, target) in target[..valid].iter_mut().enumerate() {
                    *target = weights[(first + o) * geometry.weight_stride + tap.weight];
                }
            }
        });
    }
}

/// Cuts the line (one lane) or each row (a vector of lanes) into tiles of nearly equal length.
fn tiles(geometry: &Geometry, lanes: usize, vector: usize) -> Vec<(usize, usize)> {
    let cut = |start: usize, vectors: usize, tiles: &mut Vec<(usize, usize)>| {
        let count = vectors.div_ceil(TILE_VECTORS);
        let mut from = 0;
        for i in 0..count {
            let to = vectors * (i + 1) / count;
            tiles.push((start + from * vector, to - from));
            from = to;
        }
    };
    let mut tiles = Vec::new();
    if lanes == 1 {
        cut(0, geometry.line.div_ceil(vector), &mut tiles);
    } else {
        for row in 0..geometry.rows {
            cut(row * geometry.pitch * lanes, geometry.columns, &mut tiles);
        }
    }
    tiles
}

/// One image, or a vector of images.
struct Group<'a> {
    pass: &'a Pass<'a>,
    workspace: &'a Workspace,
    images: usize,
    source: &'a [f32],
    output: &'a mut [f32],
}

impl Kernel for Group<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Pass {
            geometry, lanes, ..
        } = *self.pass;
        let channels = geometry.output_channels.next_multiple_of(S::TILE_CHANNELS);
        let mut packed = self.workspace.take(packed_len(
            &geometry.source,
            geometry.source_channels,
            lanes,
        ));
        let mut sums = self
            .workspace
            .take(channels * geometry.output.places * lanes);
        // SAFETY: the caller guarantees the instructions; `compute` gets buffers of the lengths that it names.
        unsafe {
            pack::<S>(
                &geometry.source,
                geometry.source_channels,
                lanes,
                self.images,
                self.source,
                &mut packed,
            );
            compute::<S>(self.pass, &packed, &mut sums);
            unpack::<S>(
                &geometry.output,
                geometry.output_channels,
                lanes,
                self.images,
                &sums,
                self.output,
            );
        }
    }
}

/// All tiles of a packed image.
///
/// # Safety
/// The machine has the instructions of `S`; `packed` and `sums` are as long as [`Group::run`] makes them.
#[inline(always)]
unsafe fn compute<S: Simd>(pass: &Pass, packed: &[f32], sums: &mut [f32]) {
    let block = S::TILE_CHANNELS;
    let blocks = pass.geometry.output_channels.div_ceil(block);
    let channel_stride = pass.geometry.output.places * pass.lanes;
    let mut weights = pass.weights;
    for (phase, offsets) in pass.offsets.iter().enumerate() {
        let (phase_weights, rest) = weights.split_at(blocks * block * offsets.len());
        weights = rest;
        let phase_start = phase * pass.geometry.line.next_multiple_of(MAX_LANES) * pass.lanes;
        let phase = Phase {
            pass,
            offsets,
            weights: phase_weights,
            start: phase_start,
            channel_stride,
        };
        if size_of_val(phase_weights) <= WEIGHTS_IN_CACHE {
            for &(start, vectors) in &pass.tiles {
                for index in 0..blocks {
                    // SAFETY: the caller's guarantees.
                    unsafe { phase.tile::<S>(index, start, vectors, packed, sums) }
                }
            }
        } else {
            for index in 0..blocks {
                for &(start, vectors) in &pass.tiles {
                    // SAFETY: the caller's guarantees.
                    unsafe { phase.tile::<S>(index, start, vectors, packed, sums) }
                }
            }
        }
    }
}

/// One output phase.
struct Phase<'a> {
    pass: &'a Pass<'a>,
    offsets: &'a [u32],
    /// `[block][tap][channel]`
    weights: &'a [f32],
    /// Where the phase begins in a channel of the sums.
    start: usize,
    channel_stride: usize,
}

impl Phase<'_> {
    /// The tile of `vectors` vectors at `start` for the block of output channels `index`.
    ///
    /// # Safety
    /// As [`compute`].
    #[inline(always)]
    unsafe fn tile<S: Simd>(
        &self,
        index: usize,
        start: usize,
        vectors: usize,
        packed: &[f32],
        sums: &mut [f32],
    ) {
        let (block, stride, offsets) = (S::TILE_CHANNELS, self.channel_stride, self.offsets);
        let weights =
            self.weights[index * block * offsets.len()..][..block * offsets.len()].as_ptr();
        let bias = self.pass.bias[index * block..][..block].as_ptr();
        let output = index * block * stride + self.start + start;
        debug_assert!(output + (block - 1) * stride + vectors * S::LANES <= sums.len());
        debug_assert!(
            offsets
                .iter()
                .all(|&o| start + o as usize + vectors * S::LANES <= packed.len())
        );
        // SAFETY: a tile ends at most a vector behind the line or at the end of its row, which `packed` and `sums` have
        // room for (slack, and lines rounded up to whole vectors); taps reach no further than the packed plane.
        unsafe {
            let (source, output) = (packed.as_ptr().add(start), sums.as_mut_ptr().add(output));
            macro_rules! call {
                ($o:literal, $v:literal) => {
                    S::call(ForwardTile::<$o, $v> {
                        source,
                        offsets,
                        weights,
                        bias,
                        output,
                        channel_stride: stride,
                    })
                };
            }
            match (block, vectors) {
                (8, 1) => call!(8, 1),
                (8, 2) => call!(8, 2),
                (8, _) => call!(8, 3),
                (_, 1) => call!(4, 1),
                (_, 2) => call!(4, 2),
                (_, _) => call!(4, 3),
            }
        }
    }
}
