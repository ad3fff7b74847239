//! Vectors of `f32` behind one trait, and the choice of instruction set at run time.
//!
//! A [`Kernel`] is generic over [`Simd`] and `#[inline(always)]`; [`Path::run`] instantiates it once per instruction set
//! inside a function that has the target features enabled.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod path;
mod portable;

pub use path::Path;
pub(crate) use path::{Kernel, MAX_LANES};

/// A vector of `LANES` floats. All methods are `#[inline(always)]`, so they take on the features of their caller.
///
/// # Safety
///
/// Every method must be called on a machine that has the instructions of the implementor, and pointers must be valid
/// for as many floats as the method says. No alignment is required.
pub(crate) trait Simd: Copy + 'static {
    /// The vector.
    type V: Copy;
    /// Floats in a vector; at most [`MAX_LANES`].
    const LANES: usize;
    /// Output channels that a register tile of the convolution holds.
    const TILE_CHANNELS: usize;

    /// Runs a kernel as a function of its own with these instructions. Loops that fill the registers need that: within a
    /// large function the compiler spills.
    unsafe fn call<K: Kernel>(kernel: K) -> K::Output;
    /// All lanes equal to `x`.
    unsafe fn splat(x: f32) -> Self::V;
    /// Reads `LANES` floats.
    unsafe fn load(source: *const f32) -> Self::V;
    /// Writes `LANES` floats.
    unsafe fn store(target: *mut f32, v: Self::V);
    /// `a * b + c`, rounded once where the instructions can.
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// Adds all taps to a tile of four output channels by three vectors. Here so that an instruction set with few
    /// registers can have it written by hand: the compiler's own order spills.
    ///
    /// `source + offset` is readable for three vectors, `weights` holds four per offset.
    #[inline(always)]
    unsafe fn taps_4x3(
        sums: &mut [[Self::V; 3]; 4],
        source: *const f32,
        offsets: &[u32],
        weights: *const f32,
    ) {
        // SAFETY: as the caller guarantees.
        unsafe { taps::<Self, 4, 3>(sums, source, offsets, weights) }
    }
    /// Sum of the lanes.
    unsafe fn sum(v: Self::V) -> f32;
    /// Reads `LANES` floats at each of `rows` and writes column `k` of that square to `columns[k]`.
    unsafe fn transpose(rows: &[*const f32; MAX_LANES], columns: &[*mut f32; MAX_LANES]);
}

/// Adds all taps to a tile of `O` output channels by `V` vectors: `sums[o] += weights[tap][o] * source[offset of tap]`.
///
/// # Safety
/// As [`Simd`]; `source + offset` is readable for `V` vectors, `weights` holds `O` per offset.
#[inline(always)]
#[allow(clippy::needless_range_loop)] // Index loops of constant length are what the compiler turns into registers.
pub(crate) unsafe fn taps<S: Simd, const O: usize, const V: usize>(
    sums: &mut [[S::V; V]; O],
    source: *const f32,
    offsets: &[u32],
    mut weights: *const f32,
) {
    // SAFETY: as the caller guarantees.
    unsafe {
        for &offset in offsets {
            let at = source.add(offset as usize);
            let mut x = [S::splat(0.0); V];
            for v in 0..V {
                x[v] = S::load(at.add(v * S::LANES));
            }
            for o in 0..O {
                let weight = S::splat(*weights.add(o));
                for v in 0..V {
                    sums[o][v] = S::fma(weight, x[v], sums[o][v]);
                }
            }
            weights = weights.add(O);
        }
    }
}
