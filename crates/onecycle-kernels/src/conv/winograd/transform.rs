//! The Winograd transforms, on vectors of channels.
//!
//! The two-dimensional transforms `Bᵀ d B`, `G w Gᵀ` and `Aᵀ m A` apply a one-dimensional transform
//! to all columns, then to all rows. The one-dimensional ones interpolate at 0, ±A, ±B and infinity
//! (Toom-Cook; Lavin & Gray, section 4.1). `Bᵀ` holds the coefficients of the polynomials that
//! vanish at all interpolation points but one. `G` and `Aᵀ` hold powers of the interpolation
//! points; `G` is also divided by the value of each polynomial at its own point. Even and odd
//! powers are computed once for each pair of points ±.

use crate::simd::Simd;

// No closures below: the compiler does not inline all of them, and without inlining they lack the
// target features.

const A: f32 = 0.75;
const B: f32 = 1.5;
const A2: f32 = A * A;
const B2: f32 = B * B;
const A3: f32 = A2 * A;
const B3: f32 = B2 * B;
/// Values of the polynomials at their own points 0, ±A and ±B.
const AT_ZERO: f32 = A2 * B2;
const AT_A: f32 = 2.0 * A2 * (A2 - B2);
const AT_B: f32 = 2.0 * B2 * (B2 - A2);

/// Input transform `Bᵀ d`.
///
/// # Safety
/// As [`Simd`], here and below.
#[inline(always)]
pub(super) unsafe fn input<S: Simd>(d: [S::V; 6]) -> [S::V; 6] {
    // SAFETY: the caller's guarantee.
    unsafe {
        let (a, b) = (S::splat(A), S::splat(B));
        let (minus_a, minus_b) = (S::splat(-A), S::splat(-B));
        let (minus_a2, minus_b2) = (S::splat(-A2), S::splat(-B2));
        let (product, minus_sum) = (S::splat(A2 * B2), S::splat(-(A2 + B2)));
        let even_a = S::fma(minus_b2, d[2], d[4]);
        let odd_a = S::fma(minus_b2, d[1], d[3]);
        let even_b = S::fma(minus_a2, d[2], d[4]);
        let odd_b = S::fma(minus_a2, d[1], d[3]);
        [
            S::fma(product, d[0], S::fma(minus_sum, d[2], d[4])),
            S::fma(a, odd_a, even_a),
            S::fma(minus_a, odd_a, even_a),
            S::fma(b, odd_b, even_b),
            S::fma(minus_b, odd_b, even_b),
            S::fma(product, d[1], S::fma(minus_sum, d[3], d[5])),
        ]
    }
}

/// Output transform `Aᵀ m` to four outputs.
#[inline(always)]
pub(super) unsafe fn output<S: Simd>(m: [S::V; 6]) -> [S::V; 4] {
    // SAFETY: the caller's guarantee.
    unsafe {
        let (sum_a, difference_a) = (S::add(m[1], m[2]), S::sub(m[1], m[2]));
        let (sum_b, difference_b) = (S::add(m[3], m[4]), S::sub(m[3], m[4]));
        [
            S::add(m[0], S::add(sum_a, sum_b)),
            S::fma(S::splat(A), difference_a, S::mul(S::splat(B), difference_b)),
            S::fma(S::splat(A2), sum_a, S::mul(S::splat(B2), sum_b)),
            S::fma(
                S::splat(A3),
                difference_a,
                S::fma(S::splat(B3), difference_b, m[5]),
            ),
        ]
    }
}

/// Evaluates a polynomial at `point` and `-point`, divided by `scale`:
/// `(even ± point odd) / scale`.
#[inline(always)]
unsafe fn pair<S: Simd>(point: f32, even: S::V, odd: S::V, scale: f32) -> [S::V; 2] {
    // SAFETY: the caller's guarantee.
    unsafe {
        let even = S::mul(S::splat(1.0 / scale), even);
        let factor = point / scale;
        [
            S::fma(S::splat(factor), odd, even),
            S::fma(S::splat(-factor), odd, even),
        ]
    }
}

/// Weight transform `G w` of three weights.
#[inline(always)]
pub(super) unsafe fn weights<S: Simd>(w: [S::V; 3]) -> [S::V; 6] {
    // SAFETY: the caller's guarantee.
    unsafe {
        let [plus_a, minus_a] = pair::<S>(A, S::fma(S::splat(A2), w[2], w[0]), w[1], AT_A);
        let [plus_b, minus_b] = pair::<S>(B, S::fma(S::splat(B2), w[2], w[0]), w[1], AT_B);
        let zero = S::mul(S::splat(1.0 / AT_ZERO), w[0]);
        [zero, plus_a, minus_a, plus_b, minus_b, w[2]]
    }
}

/// Transform `G g` of `F(3, 4)` for four output gradients.
#[inline(always)]
pub(super) unsafe fn gradient<S: Simd>(g: [S::V; 4]) -> [S::V; 6] {
    // SAFETY: the caller's guarantee.
    unsafe {
        let (a2, b2) = (S::splat(A2), S::splat(B2));
        let (even_a, odd_a) = (S::fma(a2, g[2], g[0]), S::fma(a2, g[3], g[1]));
        let (even_b, odd_b) = (S::fma(b2, g[2], g[0]), S::fma(b2, g[3], g[1]));
        let [plus_a, minus_a] = pair::<S>(A, even_a, odd_a, AT_A);
        let [plus_b, minus_b] = pair::<S>(B, even_b, odd_b, AT_B);
        let zero = S::mul(S::splat(1.0 / AT_ZERO), g[0]);
        [zero, plus_a, minus_a, plus_b, minus_b, g[3]]
    }
}

/// Transform `Aᵀ m` of `F(3, 4)` to three weight gradients.
#[inline(always)]
pub(super) unsafe fn weight_gradient<S: Simd>(m: [S::V; 6]) -> [S::V; 3] {
    // SAFETY: the caller's guarantee.
    unsafe {
        let (sum_a, difference_a) = (S::add(m[1], m[2]), S::sub(m[1], m[2]));
        let (sum_b, difference_b) = (S::add(m[3], m[4]), S::sub(m[3], m[4]));
        [
            S::add(m[0], S::add(sum_a, sum_b)),
            S::fma(S::splat(A), difference_a, S::mul(S::splat(B), difference_b)),
            S::fma(S::splat(A2), sum_a, S::fma(S::splat(B2), sum_b, m[5])),
        ]
    }
}

/// Loads six vectors, `stride` floats apart.
#[inline(always)]
pub(super) unsafe fn load6<S: Simd>(from: *const f32, stride: usize) -> [S::V; 6] {
    // SAFETY: the caller's guarantee.
    unsafe {
        [
            S::load(from),
            S::load(from.add(stride)),
            S::load(from.add(2 * stride)),
            S::load(from.add(3 * stride)),
            S::load(from.add(4 * stride)),
            S::load(from.add(5 * stride)),
        ]
    }
}

/// Loads four vectors, `stride` floats apart.
#[inline(always)]
unsafe fn load4<S: Simd>(from: *const f32, stride: usize) -> [S::V; 4] {
    // SAFETY: the caller's guarantee.
    unsafe {
        [
            S::load(from),
            S::load(from.add(stride)),
            S::load(from.add(2 * stride)),
            S::load(from.add(3 * stride)),
        ]
    }
}

/// Row `i` of a matrix stored as six columns.
#[inline(always)]
pub(super) fn row_of<V: Copy, const N: usize>(columns: &[[V; N]; 6], i: usize) -> [V; 6] {
    let [a, b, c, d, e, f] = columns;
    [a[i], b[i], c[i], d[i], e[i], f[i]]
}

/// The pixels of a row of tiles, which may reach beyond the image.
pub(super) struct TileRow<'a> {
    pub channels: usize,
    /// Number of tiles.
    pub across: usize,
    /// Pixels of zeros to the left of the image; zeros to the right fill the last tile.
    pub left: usize,
    /// Six rows of pixels, of which gradients use four; `None` beyond the image.
    pub rows: [Option<&'a [f32]>; 6],
    /// A row of zeros.
    pub zeros: &'a [f32],
}

impl TileRow<'_> {
    fn row(&self, i: usize) -> *const f32 {
        self.rows[i].unwrap_or(self.zeros).as_ptr()
    }
}

/// Distances in transformed tiles.
#[derive(Clone, Copy)]
pub(super) struct PointStrides {
    /// From a point of a tile to the next point of the same tile.
    pub point: usize,
    /// From a tile to the next at the same point; at least the channels.
    pub tile: usize,
}

/// Floats of a scratch row: whole tiles of inputs, which overlap by two pixels.
pub(super) fn scratch_row(across: usize, channels: usize) -> usize {
    (4 * across + 2) * channels
}

/// Two-dimensional [`input`] transform of a row of tiles. Point `(i, j)` of tile `t` is written to
/// `points[(6 i + j) * strides.point + t * strides.tile]`.
///
/// `scratch` has room for six rows of [`scratch_row`] floats. It must be zero where the image has
/// no pixel.
///
/// # Safety
/// As [`Simd`]; `points` is writable at all these places; `channels` is a multiple of the lanes.
#[inline(always)]
pub(super) unsafe fn input_row<S: Simd>(
    tile_row: &TileRow,
    scratch: &mut [f32],
    points: *mut f32,
    strides: PointStrides,
) {
    let (across, channels) = (tile_row.across, tile_row.channels);
    let row = scratch_row(across, channels);
    let (width, left) = (tile_row.zeros.len(), tile_row.left * channels);
    assert!(scratch.len() >= 6 * row && left + width <= row);
    let scratch = scratch.as_mut_ptr();
    let d = [0, 1, 2, 3, 4, 5].map(|i| tile_row.row(i));
    // SAFETY: each row has `width` floats, which fit into a row of the scratch; the rest is
    // guaranteed by the caller.
    unsafe {
        for q in (0..width).step_by(S::LANES) {
            let column = input::<S>([
                S::load(d[0].add(q)),
                S::load(d[1].add(q)),
                S::load(d[2].add(q)),
                S::load(d[3].add(q)),
                S::load(d[4].add(q)),
                S::load(d[5].add(q)),
            ]);
            for (i, value) in column.into_iter().enumerate() {
                S::store(scratch.add(i * row + left + q), value);
            }
        }
        for i in 0..6 {
            for t in 0..across {
                for c in (0..channels).step_by(S::LANES) {
                    let from = scratch.add(i * row + 4 * t * channels + c);
                    let line = load6::<S>(from, channels);
                    let to = points.add(6 * i * strides.point + t * strides.tile + c);
                    for (j, value) in input::<S>(line).into_iter().enumerate() {
                        S::store(to.add(j * strides.point), value);
                    }
                }
            }
        }
    }
}

/// Two-dimensional [`gradient`] transform of a row of tiles, like [`input_row`]. It uses the first
/// four rows of pixels.
///
/// # Safety
/// As [`input_row`].
#[inline(always)]
pub(super) unsafe fn gradient_row<S: Simd>(
    tile_row: &TileRow,
    scratch: &mut [f32],
    points: *mut f32,
    strides: PointStrides,
) {
    let (across, channels) = (tile_row.across, tile_row.channels);
    let row = scratch_row(across, channels);
    let width = tile_row.zeros.len();
    assert!(scratch.len() >= 6 * row && width <= row);
    let scratch = scratch.as_mut_ptr();
    let g = [0, 1, 2, 3].map(|i| tile_row.row(i));
    // SAFETY: as in `input_row`.
    unsafe {
        for q in (0..width).step_by(S::LANES) {
            let column = gradient::<S>([
                S::load(g[0].add(q)),
                S::load(g[1].add(q)),
                S::load(g[2].add(q)),
                S::load(g[3].add(q)),
            ]);
            for (i, value) in column.into_iter().enumerate() {
                S::store(scratch.add(i * row + q), value);
            }
        }
        for i in 0..6 {
            for t in 0..across {
                for c in (0..channels).step_by(S::LANES) {
                    let from = scratch.add(i * row + 4 * t * channels + c);
                    let line = load4::<S>(from, channels);
                    let to = points.add(6 * i * strides.point + t * strides.tile + c);
                    for (j, value) in gradient::<S>(line).into_iter().enumerate() {
                        S::store(to.add(j * strides.point), value);
                    }
                }
            }
        }
    }
}

/// Destination of a row of output tiles.
pub(super) struct Outputs<'a> {
    /// Number of tiles.
    pub across: usize,
    /// Rows of pixels: four, or fewer at the bottom of the image.
    pub height: usize,
    /// `[channels]`.
    pub bias: &'a [f32],
    /// Smallest and largest value, to which others are clamped.
    pub limits: Option<[f32; 2]>,
    /// The rows, contiguous. If a row ends within a tile, the rest of the tile is discarded.
    pub pixels: &'a mut [f32],
}

impl Outputs<'_> {
    fn channels(&self) -> usize {
        self.bias.len()
    }

    /// Floats of a row.
    fn row_len(&self) -> usize {
        self.pixels.len() / self.height
    }
}

/// Floats of scratch memory for [`output_row`]: four rows of outputs at six points each.
pub(super) fn columns_len(across: usize, channels: usize) -> usize {
    4 * 6 * across * channels
}

/// Two-dimensional [`output`] transform of a row of tiles, then bias and ReLU. Point `(i, j)` of
/// tile `t` is read from `points[(6 i + j) * point_stride + t * channels]`.
///
/// # Safety
/// As [`Simd`]; `points` is readable at all these places; the number of channels is a multiple of
/// the lanes.
#[inline(always)]
pub(super) unsafe fn output_row<S: Simd>(
    points: *const f32,
    point_stride: usize,
    columns: &mut [f32],
    outputs: Outputs,
) {
    let channels = outputs.channels();
    let (len, row_len) = (outputs.across * channels, outputs.row_len());
    let width = row_len / channels;
    assert!(columns.len() >= columns_len(outputs.across, channels));
    assert!(outputs.height <= 4 && width <= 4 * outputs.across);
    let (columns, pixels) = (columns.as_mut_ptr(), outputs.pixels.as_mut_ptr());
    let limits = outputs.limits.unwrap_or([f32::NEG_INFINITY, f32::INFINITY]);
    // SAFETY: row `i` at point `j` has `len` floats from `columns[(6 i + j) * len]` on; only
    // columns inside of the row of pixels are written; the rest is guaranteed by the caller.
    unsafe {
        let [least, most] = limits.map(|limit| S::splat(limit));
        for j in 0..6 {
            for q in (0..len).step_by(S::LANES) {
                let column = load6::<S>(points.add(j * point_stride + q), 6 * point_stride);
                for (i, value) in output::<S>(column).into_iter().enumerate() {
                    S::store(columns.add((6 * i + j) * len + q), value);
                }
            }
        }
        for i in 0..outputs.height {
            for t in 0..width.div_ceil(4) {
                let here = width - 4 * t;
                for c in (0..channels).step_by(S::LANES) {
                    let row = load6::<S>(columns.add(6 * i * len + t * channels + c), len);
                    let bias = S::load(outputs.bias.as_ptr().add(c));
                    let to = pixels.add(i * row_len + 4 * t * channels + c);
                    for (j, value) in output::<S>(row).into_iter().enumerate() {
                        if here >= 4 || j < here {
                            let value = S::min(most, S::max(least, S::add(value, bias)));
                            S::store(to.add(j * channels), value);
                        }
                    }
                }
            }
        }
    }
}
