//! SIMD vectors of `f32` behind one trait, and the choice of the instruction set at run time.
//!
//! A function that is generic over [`Simd`] implements [`WithSimd`] and is `#[inline(always)]`.
//! [`Isa::run`] instantiates it once per instruction set, inside a function that enables the target
//! features. Elementwise loops do not need to name vectors: they implement [`PlainLoops`], and the
//! compiler vectorises them for each instruction set. The micro-kernels of [`crate::gemm`] and the
//! Winograd transforms name their vectors.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod isa;
mod portable;
mod prefetch;

pub use isa::Isa;
pub(crate) use isa::vectorised;
pub(crate) use prefetch::{LINE, prefetch, prefetch_to_write, read_ahead, write_ahead};

/// Lanes of the widest vector of any instruction set.
pub(crate) const MAX_LANES: usize = 16;

/// A vector of `LANES` floats. All methods are `#[inline(always)]`, so they are compiled with the
/// target features of their caller.
///
/// # Safety
/// Every method must be called on a machine that has the instructions of the implementor. Pointers
/// must be valid for `LANES` floats; they need no alignment beyond that of `f32`.
pub(crate) trait Simd: Copy + 'static {
    /// The vector type.
    type V: Copy;
    /// Floats per vector; at most [`MAX_LANES`].
    const LANES: usize;
    /// Number of vector registers, which limits the size of register tiles.
    const REGISTERS: usize;

    /// Runs `work` as a separate function that is compiled with these instructions. Loops that use
    /// all registers need this: inside a large function the compiler spills registers to memory.
    unsafe fn call<W: WithSimd>(work: W) -> W::Output;
    /// All lanes equal to `x`.
    unsafe fn splat(x: f32) -> Self::V;
    /// Reads `LANES` floats.
    unsafe fn load(source: *const f32) -> Self::V;
    /// Writes `LANES` floats.
    unsafe fn store(target: *mut f32, v: Self::V);
    /// Reads only the first `count <= LANES` floats; the other lanes are 0.
    unsafe fn load_first(source: *const f32, count: usize) -> Self::V;
    /// Writes only the first `count <= LANES` lanes.
    unsafe fn store_first(target: *mut f32, v: Self::V, count: usize);
    /// `a * b + c`, rounded once if the instruction set has a fused multiply-add.
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `a * b + c` of single floats, like [`Simd::fma`]. Safe, because the library has a version for
    /// machines without the instruction.
    fn mul_add(a: f32, b: f32, c: f32) -> f32;
    /// `a + b`.
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    /// `a - b`.
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V;
    /// `a * b`.
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V;
    /// The larger of each pair; `b` if `a` or `b` is NaN.
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V;
    /// The smaller of each pair; `b` if `a` or `b` is NaN.
    unsafe fn min(a: Self::V, b: Self::V) -> Self::V;
    /// Per lane: `chosen` if `x > y` or `x` is NaN, otherwise `other`.
    unsafe fn where_larger(x: Self::V, y: Self::V, chosen: Self::V, other: Self::V) -> Self::V;
    /// Per lane: `chosen` if `x == y`, otherwise `other`.
    unsafe fn where_equal(x: Self::V, y: Self::V, chosen: Self::V, other: Self::V) -> Self::V;
}

/// Work that is generic over the instruction set. `run` is inlined into a function that has the
/// target features enabled.
pub(crate) trait WithSimd {
    /// The result.
    type Output;

    /// Does the work.
    ///
    /// # Safety
    /// The machine has the instructions of `S`.
    unsafe fn run<S: Simd>(self) -> Self::Output;
}

/// Plain loops over slices, which the compiler vectorises for each instruction set.
///
/// `run` and everything it calls must be `#[inline(always)]`. Closures are not: the compiler may
/// compile them as functions of their own, without the target features.
pub(crate) trait PlainLoops {
    /// Does the work.
    fn run(self);
}
