//! Gradient of the weights: sums over images and pixels.
//!
//! The batch is cut into a number of chunks that depends on the shape alone. Each chunk sums its images in order into its
//! own buffer, and the buffers are added in order: the result does not depend on the number of threads.

use super::geometry::Geometry;
use super::pack::{pack, packed_len};
use super::tile::{Runs, WeightTile};
use crate::parallel::for_chunks;
use crate::simd::{Kernel, Path, Simd};
use crate::workspace::Workspace;

/// Most chunks of a batch, and the most bytes that their sums may take together.
const MAX_CHUNKS: usize = 16;
const MAX_CHUNK_BYTES: usize = 48 << 20;

/// Gradient of the weights from `input` and the gradient of the output. `geometry` is the forward one.
pub(crate) fn run(
    workspace: &Workspace,
    path: Path,
    geometry: &Geometry,
    lanes: usize,
    input: &[f32],
    gradient: &[f32],
    weights: &mut [f32],
) {
    let input_image = geometry.source_channels * geometry.source.pixels;
    let output_image = geometry.output_channels * geometry.output.pixels;
    let groups = (input.len() / input_image).div_ceil(lanes);
    let most = (MAX_CHUNK_BYTES / size_of_val(weights)).clamp(2, MAX_CHUNKS);
    let groups_per_chunk = groups.div_ceil(most);
    let chunks = groups.div_ceil(groups_per_chunk);
    let images_per_chunk = groups_per_chunk * lanes;
    let mut sums = workspace.take(chunks * weights.len());
    let len = weights.len();
    for_chunks(&mut sums, len, |index, sums| {
        sums.fill(0.0);
        let input = chunk_of(input, index, images_per_chunk * input_image);
        let gradient = chunk_of(gradient, index, images_per_chunk * output_image);
        path.run(Chunk {
            geometry,
            lanes,
            workspace,
            input,
            gradient,
            sums,
        });
    });
    let sums = &sums[..];
    for_chunks(
        weights,
        len.div_ceil(MAX_CHUNKS).max(4096),
        |index, weights| {
            let start = index * len.div_ceil(MAX_CHUNKS).max(4096);
            weights.copy_from_slice(&sums[start..][..weights.len()]);
            for chunk in 1..chunks {
                for (w, s) in weights.iter_mut().zip(&sums[chunk * len + start..]) {
                    *w += s;
                }
            }
        },
    );
}

fn chunk_of(data: &[f32], index: usize, len: usize) -> &[f32] {
    &data[index * len..data.len().min((index + 1) * len)]
}

struct Chunk<'a> {
    geometry: &'a Geometry,
    lanes: usize,
    workspace: &'a Workspace,
    input: &'a [f32],
    gradient: &'a [f32],
    sums: &'a mut [f32],
}

impl Kernel for Chunk<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Chunk {
            geometry,
            lanes,
            sums,
            ..
        } = self;
        let mut source = self.workspace.take(packed_len(
            &geometry.source,
            geometry.source_channels,
            lanes,
        ));
        let mut gradient = self.workspace.take(packed_len(
            &geometry.output,
            geometry.output_channels,
            lanes,
        ));
        let input_group = lanes * geometry.source_channels * geometry.source.pixels;
        let output_group = lanes * geometry.output_channels * geometry.output.pixels;
        for (x, g) in self
            .input
            .chunks(input_group)
            .zip(self.gradient.chunks(output_group))
        {
            let images = x.len() * lanes / input_group;
            // SAFETY: the caller guarantees the instructions; the buffers have the lengths that `accumulate` names.
            unsafe {
                pack::<S>(
                    &geometry.source,
                    geometry.source_channels,
                    lanes,
                    images,
                    x,
                    &mut source,
                );
                pack::<S>(
                    &geometry.output,
                    geometry.output_channels,
                    lanes,
                    images,
                    g,
                    &mut gradient,
                );
                accumulate::<S>(geometry, lanes, &source, &gradient, sums);
            }
        }
    }
}

/// Adds a packed group's products to `sums`, `[output channel][tap]`.
///
/// # Safety
/// The machine has the instructions of `S`; both buffers are packed with the slack of [`packed_len`].
#[inline(always)]
unsafe fn accumulate<S: Simd>(
    geometry: &Geometry,
    lanes: usize,
    source: &[f32],
    gradient: &[f32],
    sums: &mut [f32],
) {
    // SAFETY: passed on.
    unsafe {
        if S::LANES == 16 {
            blocks::<S, 9, 3>(geometry, lanes, source, gradient, sums);
        } else {
            blocks::<S, 3, 4>(geometry, lanes, source, gradient, sums);
        }
    }
}

/// All blocks of `O` output channels by `T` taps.
///
/// # Safety
/// As [`accumulate`].
#[inline(always)]
unsafe fn blocks<S: Simd, const T: usize, const O: usize>(
    geometry: &Geometry,
    lanes: usize,
    source: &[f32],
    gradient: &[f32],
    sums: &mut [f32],
) {
    let taps = &geometry.phases[0];
    let stride = geometry.output.places * lanes;
    // With one lane the gaps between rows hold zeros, and the line is one run.
    let runs = if lanes == 1 {
        Runs {
            rows: 1,
            vectors: geometry.line.div_ceil(S::LANES),
            row_stride: 0,
        }
    } else {
        Runs {
            rows: geometry.rows,
            vectors: geometry.columns,
            row_stride: geometry.pitch * lanes,
        }
    };
    let mut first = 0;
    while first < geometry.output_channels {
        let block = O.min(geometry.output_channels - first);
        for (index, group) in taps.chunks(T).enumerate() {
            // A short last group repeats its last tap.
            let offsets: [usize; T] =
                std::array::from_fn(|t| group[t.min(group.len() - 1)].offset * lanes);
            let from = first * stride;
            debug_assert!(
                from + (block - 1) * stride
                    + (runs.rows - 1) * runs.row_stride
                    + runs.vectors * S::LANES
                    <= gradient.len()
            );
            debug_assert!(offsets.iter().all(|o| o
                + (runs.rows - 1) * runs.row_stride
                + runs.vectors * S::LANES
                <= source.len()));
            // SAFETY: runs stay within the packed planes and the slack behind the last; `block` channels exist.
            unsafe {
                let (source, gradient) = (source.as_ptr(), gradient.as_ptr().add(from));
                let target = &mut sums[first * taps.len() + index * T..];
                macro_rules! call {
                    ($o:expr) => {{
                        let tile = S::call(WeightTile::<T, { $o }> {
                            source,
                            offsets,
                            gradient,
                            channel_stride: stride,
                            runs,
                        });
                        add(tile, target, taps.len(), group.len());
                    }};
                }
                match block {
                    1 => call!(1),
                    2 => call!(2),
                    3 => call!(3),
                    _ => call!(O),
                }
            }
        }
        first += block;
    }
}

#[inline(always)]
fn add<const T: usize, const O: usize>(
    tile: [[f32; T]; O],
    target: &mut [f32],
    stride: usize,
    taps: usize,
) {
    for (o, row) in tile.iter().enumerate() {
        for (target, value) in target[o * stride..].iter_mut().zip(&row[..taps]) {
            *target += value;
        }
    }
}
