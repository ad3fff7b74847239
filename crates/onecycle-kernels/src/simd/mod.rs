//! Vectors of `f32` behind one trait, and the choice of instruction set at run time.
//!
//! A [`Kernel`] is generic over [`Simd`] and `#[inline(always)]`; [`Path::run`] instantiates it once per instruction set
//! inside a function that has the target features enabled. [`Loops`] that the compiler turns into vectors by itself
//! (everything elementwise) need no more than that; the register tiles of the matrix products name their vectors.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod path;
mod portable;
mod prefetch;

pub use path::Path;
pub(crate) use path::{Kernel, Loops, MAX_LANES, vectorised};
pub(crate) use prefetch::{LINE, prefetch, prefetch_to_write, read_ahead, write_ahead};

/// A vector of `LANES` floats. All methods are `#[inline(always)]`, so they take on the features of their caller.
///
/// # Safety
///
/// Every method must be called on a machine that has the instructions of the implementor, and pointers must be valid
/// for `LANES` floats. No alignment is required.
pub(crate) trait Simd: Copy + 'static {
    /// The vector.
    type V: Copy;
    /// Floats in a vector; at most [`MAX_LANES`].
    const LANES: usize;
    /// Vector registers of the instruction set, which bounds the tiles.
    const REGISTERS: usize;

    /// Runs a kernel as a function of its own with these instructions. Loops that fill the registers need that: within a
    /// large function the compiler spills.
    unsafe fn call<K: Kernel>(kernel: K) -> K::Output;
    /// All lanes equal to `x`.
    unsafe fn splat(x: f32) -> Self::V;
    /// Reads `LANES` floats.
    unsafe fn load(source: *const f32) -> Self::V;
    /// Writes `LANES` floats.
    unsafe fn store(target: *mut f32, v: Self::V);
    /// Reads the first `count` floats alone, at most `LANES`; the other lanes are 0.
    unsafe fn load_first(source: *const f32, count: usize) -> Self::V;
    /// Writes the first `count` lanes alone, at most `LANES`.
    unsafe fn store_first(target: *mut f32, v: Self::V, count: usize);
    /// `a * b + c`, rounded once where the instructions can.
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `a + b`.
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    /// `a - b`.
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V;
    /// `a * b`.
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V;
    /// The larger of each pair; `b` where `a` is NaN.
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V;
    /// Lanes of `chosen` where `x` is larger than `y` or NaN, else of `other`.
    unsafe fn where_larger(x: Self::V, y: Self::V, chosen: Self::V, other: Self::V) -> Self::V;
    /// Lanes of `chosen` where `x` equals `y`, else of `other`.
    unsafe fn where_equal(x: Self::V, y: Self::V, chosen: Self::V, other: Self::V) -> Self::V;
}
