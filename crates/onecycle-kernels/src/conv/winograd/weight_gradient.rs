//! Gradient of the weights: `F(3 x 3, 4 x 4)`, summed over all tiles of all images before it is transformed back.
#![allow(clippy::needless_range_loop)] // Index loops of constant length are what the compiler turns into registers.

use super::super::axis::Axis;
use super::super::gradient::OutputGradient;
use super::super::pass::block_channels;
use super::super::shape::Conv2d;
use super::super::weight_gradient::{add_groups, unpack};
use super::soon::Soon;
use super::{INPUTS, POINTS, Plane, Points, Prepared, tiles, transform};
use crate::error::KernelError;
use crate::parallel::{for_chunk_pairs, for_chunks};
use crate::product::{Adjacent, Loop, Start, Tile, most_rows, pieces};
use crate::simd::{Kernel, Path, Simd};
use crate::workspace::Workspace;

/// The sums of all points must stay in the second-level cache; beyond, they are made [point by point](super::by_points), or by the
/// direct algorithm where the batch is small.
const MOST_SUMS_BYTES: usize = 640 << 10;
/// Points of inputs and gradients that are worked on together.
const BATCH_BYTES: usize = 384 << 10;
/// Fewer tiles than these are not worth it to load and store a register tile's sums.
const FEWEST_TILES: usize = 64;
/// Into how many partial sums the batch is divided at most: fixed, so that the result does not depend on the threads.
const GROUPS: usize = 8;

/// Whether this algorithm is one for the shape.
pub(crate) fn applies(path: Path, shape: &Conv2d) -> Result<bool, KernelError> {
    Ok(has_tiles(path, shape)? && sums_fit(shape))
}

/// Whether window, channels and image are those of tiles.
pub(super) fn has_tiles(path: Path, shape: &Conv2d) -> Result<bool, KernelError> {
    let output = shape.output()?;
    let axes = [0, 1].map(|i| {
        Axis::forward(
            output[i],
            shape.kernel[i],
            shape.stride[i],
            shape.padding[i],
        )
    });
    Ok(super::applies(
        path,
        &[axes],
        shape.in_channels,
        shape.out_channels,
    ))
}

/// Whether the sums of all points fit into the cache together.
pub(super) fn sums_fit(shape: &Conv2d) -> bool {
    POINTS * shape.in_channels * shape.out_channels * size_of::<f32>() <= MOST_SUMS_BYTES
}

/// Sizes that do not depend on the image.
pub(super) struct Sizes {
    pub source: Plane,
    pub gradient: Plane,
    pub block: usize,
    /// Images whose points are there at once.
    pub images: usize,
}

impl Sizes {
    pub(super) fn new(shape: &Conv2d, path: Path) -> Result<Sizes, KernelError> {
        let [rows, columns] = shape.output()?;
        let tiles = tiles([rows, columns]);
        let count = tiles[0] * tiles[1];
        let bytes = POINTS * count * (shape.in_channels + shape.out_channels) * size_of::<f32>();
        Ok(Sizes {
            source: Plane {
                height: shape.height,
                width: shape.width,
                channels: shape.in_channels,
                before: shape.padding,
                tiles,
            },
            gradient: Plane {
                height: rows,
                width: columns,
                channels: shape.out_channels,
                before: [0, 0],
                tiles,
            },
            block: block_channels(path, shape.out_channels),
            images: (BATCH_BYTES / bytes).max(FEWEST_TILES.div_ceil(count)),
        })
    }

    /// Floats of all points' sums, `[point][source channel][output channel]`.
    pub(super) fn sums_len(&self) -> usize {
        POINTS * self.source.channels * self.gradient.channels
    }
}

/// Computes the gradient, in the order of the weights; with `data` the gradient of the input as well, from the same pieces
/// of the output's gradient while they are in cache.
pub(crate) fn run(
    workspace: &Workspace,
    path: Path,
    shape: &Conv2d,
    input: &[f32],
    output_gradient: &OutputGradient,
    weight_gradient: &mut [f32],
    data: Option<(&Prepared, &mut [f32])>,
) -> Result<(), KernelError> {
    let sizes = Sizes::new(shape, path)?;
    let group = shape.batch.div_ceil(GROUPS.min(shape.batch));
    let groups = shape.batch.div_ceil(group);
    let input_image = input.len() / shape.batch;
    let output_image = shape.output_len()? / shape.batch;
    let len = sizes.sums_len();
    let mut partial = workspace.take(groups * len);
    let add_group = |index: usize, sums: &mut [f32], mut data: Option<(&Prepared, &mut [f32])>| {
        let (first, end) = (index * group, shape.batch.min((index + 1) * group));
        let mut scratch = workspace.take(output_gradient.scratch(sizes.images * output_image));
        for from in (first..end).step_by(sizes.images) {
            let next = end.min(from + sizes.images);
            let after = end.min(next + sizes.images);
            let elements = |from, next| from * output_image..next * output_image;
            let gradient = output_gradient.get(path, elements(from, next), &mut scratch);
            let next_gradient = output_gradient.sources(elements(next, after));
            let next_input = &input[next * input_image..after * input_image];
            // What comes last in this round asks for the next one's gradient.
            let nothing: [&[f32]; 2] = [&[], &[]];
            let (early, late) = match data {
                None => (next_gradient, nothing),
                Some(_) => (nothing, next_gradient),
            };
            path.run(Images {
                sizes: &sizes,
                workspace,
                input: &input[from * input_image..next * input_image],
                gradient,
                images: next - from,
                next: [next_input, early[0], early[1]],
                fresh: from == first,
                sums,
            });
            if let Some((prepared, target)) = &mut data {
                let target =
                    &mut target[(from - first) * input_image..(next - first) * input_image];
                prepared.run(gradient, target, [late[0], late[1], &[]]);
            }
        }
    };
    match data {
        None => for_chunks(&mut partial, len, |index, sums| {
            add_group(index, sums, None)
        }),
        Some((prepared, target)) => for_chunk_pairs(
            (&mut partial, target),
            [len, group * input_image],
            |index, sums, target| add_group(index, sums, Some((prepared, target))),
        ),
    }
    let (total, others) = partial.split_at_mut(len);
    add_groups(total, others);
    transform_back(workspace, path, shape, &sizes, total, weight_gradient);
    Ok(())
}

/// From all points' sums to the gradient, in the order of the weights.
pub(super) fn transform_back(
    workspace: &Workspace,
    path: Path,
    shape: &Conv2d,
    sizes: &Sizes,
    sums: &[f32],
    weight_gradient: &mut [f32],
) {
    let mut taps = workspace.take(weight_gradient.len());
    path.run(Back {
        sizes,
        sums,
        taps: &mut taps,
    });
    unpack(shape, shape.out_channels, &taps, weight_gradient);
}

/// Images whose points are there at once.
struct Images<'a> {
    sizes: &'a Sizes,
    workspace: &'a Workspace,
    input: &'a [f32],
    gradient: &'a [f32],
    images: usize,
    /// Read after these images.
    next: [&'a [f32]; 3],
    /// Whether nothing was added yet.
    fresh: bool,
    sums: &'a mut [f32],
}

impl Kernel for Images<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Sizes {
            source, gradient, ..
        } = *self.sizes;
        let [down, across] = source.tiles;
        let (channels, out_channels) = (source.channels, gradient.channels);
        let count = self.images * down * across;
        let mut inputs = Points::new(self.workspace, count, channels);
        let mut gradients = Points::new(self.workspace, count, out_channels);
        // SAFETY: the caller has the instructions; each point has `count` times its channels.
        unsafe {
            transform_images::<S>(
                self.sizes,
                self.workspace,
                [self.input, self.gradient],
                [&mut inputs.values, &mut gradients.values],
                [inputs.stride, gradients.stride],
            );
        }
        let mut soon = Soon::new(self.next, &[], POINTS);
        for (point, sums) in self
            .sums
            .chunks_exact_mut(channels * out_channels)
            .enumerate()
        {
            soon.prefetch();
            let factors = Factors {
                inputs: &inputs.values[point * inputs.stride..][..count * channels],
                gradients: &gradients.values[point * gradients.stride..][..count * out_channels],
                tiles: count,
                pieces: Loop::ONCE,
            };
            // SAFETY: the caller has the instructions; `count` tiles are in both.
            unsafe { add_point::<S>(self.sizes, &factors, self.fresh, sums) }
        }
    }
}

/// Transforms both sides of some images. Point `p` of a side begins `p` times its stride behind the first; a tile's channels
/// stand after the other's.
///
/// # Safety
/// As [`Simd`]; each point has room for the images' tiles times its channels, which are whole vectors (`applies`).
#[inline(always)]
pub(super) unsafe fn transform_images<S: Simd>(
    sizes: &Sizes,
    workspace: &Workspace,
    [inputs, gradients]: [&[f32]; 2],
    [input_points, gradient_points]: [&mut [f32]; 2],
    [input_stride, gradient_stride]: [usize; 2],
) {
    let Sizes {
        source, gradient, ..
    } = *sizes;
    let [down, across] = source.tiles;
    let (channels, out_channels) = (source.channels, gradient.channels);
    // What the tiles see beyond the images stays zero in either scratch.
    let [mut input_scratch, mut gradient_scratch] = [channels, out_channels].map(|channels| {
        let mut scratch = workspace.take(INPUTS * transform::scratch_row(across, channels));
        scratch.fill(0.0);
        scratch
    });
    let mut zeros = workspace.take(source.row_len().max(gradient.row_len()));
    zeros.fill(0.0);
    let images = inputs
        .chunks_exact(source.len())
        .zip(gradients.chunks_exact(gradient.len()));
    for (index, (input, output)) in images.enumerate() {
        for y in 0..down {
            let row = (index * down + y) * across;
            let input = source.strip(input, y, &zeros[..source.row_len()]);
            let output = gradient.strip(output, y, &zeros[..gradient.row_len()]);
            // SAFETY: the caller's guarantees.
            unsafe {
                transform::input_row::<S>(
                    &input,
                    &mut input_scratch,
                    input_points[row * channels..].as_mut_ptr(),
                    input_stride,
                );
                transform::gradient_row::<S>(
                    &output,
                    &mut gradient_scratch,
                    gradient_points[row * out_channels..].as_mut_ptr(),
                    gradient_stride,
                );
            }
        }
    }
}

/// Both sides of a point's product.
pub(super) struct Factors<'a> {
    /// `[tiles, source channels]`, in each piece.
    pub inputs: &'a [f32],
    /// `[tiles, output channels]`, likewise.
    pub gradients: &'a [f32],
    /// Tiles of a piece.
    pub tiles: usize,
    /// Pieces, and how far apart they stand.
    pub pieces: Loop,
}

/// Adds a point's product to its sums, `[source channel][output channel]`; `fresh` where they hold nothing yet.
///
/// # Safety
/// As [`Simd`]; all tiles of all pieces are in both slices, whole vectors of channels each.
#[inline(always)]
pub(super) unsafe fn add_point<S: Simd>(
    sizes: &Sizes,
    factors: &Factors,
    fresh: bool,
    sums: &mut [f32],
) {
    let (channels, out_channels) = (sizes.source.channels, sizes.gradient.channels);
    assert_eq!(sums.len(), channels * out_channels);
    let most = most_rows(S::REGISTERS, sizes.block / S::LANES);
    for (c, rows) in pieces(channels, most) {
        for k in (0..out_channels).step_by(sizes.block) {
            let tile = Tile {
                rows,
                columns: sizes.block.min(out_channels - k),
                a: factors.inputs[c..].as_ptr(),
                adjacent: Adjacent::Rows,
                stride: channels,
                b: factors.gradients[k..].as_ptr(),
                b_step: out_channels,
                result: sums[c * out_channels + k..].as_mut_ptr(),
                result_row: out_channels,
                terms: factors.tiles,
                middle: factors.pieces,
                outer: Loop::ONCE,
                start: if fresh { Start::Zero } else { Start::Result },
                relu: false,
            };
            // SAFETY: the caller's guarantees; `rows` rows of sums are left.
            unsafe { tile.run::<S>() }
        }
    }
}

/// From points to taps, `[tap][source channel][output channel]`.
struct Back<'a> {
    sizes: &'a Sizes,
    sums: &'a [f32],
    taps: &'a mut [f32],
}

impl Kernel for Back<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let len = self.sizes.source.channels * self.sizes.gradient.channels;
        let (sums, taps) = (self.sums.as_ptr(), self.taps.as_mut_ptr());
        debug_assert!(self.sums.len() == POINTS * len && self.taps.len() == 9 * len);
        for q in (0..len).step_by(S::LANES) {
            // SAFETY: `len` is a multiple of the lanes, since the output channels are.
            unsafe {
                let mut columns = [[S::splat(0.0); 3]; INPUTS];
                for j in 0..INPUTS {
                    let column = transform::load6::<S>(sums.add(j * len + q), INPUTS * len);
                    columns[j] = transform::weight_gradient::<S>(column);
                }
                for r in 0..3 {
                    let row = transform::weight_gradient::<S>(transform::row_of(&columns, r));
                    for (s, value) in row.into_iter().enumerate() {
                        S::store(taps.add((r * 3 + s) * len + q), value);
                    }
                }
            }
        }
    }
}
