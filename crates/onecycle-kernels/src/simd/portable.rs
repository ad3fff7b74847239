//! Plain Rust: four floats, which the compiler turns into one register of SSE, NEON and their like.

use super::{Kernel, MAX_LANES, Simd};

/// No instructions beyond those the crate is compiled for.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

/// A fused multiply-add is a library call where the target has no instruction for it.
const FUSED: bool = cfg!(any(target_arch = "aarch64", target_feature = "fma"));

impl Simd for Portable {
    type V = [f32; 4];
    const LANES: usize = 4;
    const TILE_CHANNELS: usize = 4;

    #[inline(never)]
    unsafe fn call<K: Kernel>(kernel: K) -> K::Output {
        // SAFETY: nothing beyond the compiler's instructions is needed.
        unsafe { kernel.run::<Self>() }
    }

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self::V {
        [x; 4]
    }

    #[inline(always)]
    unsafe fn load(source: *const f32) -> Self::V {
        // SAFETY: the caller guarantees four readable floats; arrays of f32 need no more than f32's alignment.
        unsafe { source.cast::<Self::V>().read() }
    }

    #[inline(always)]
    unsafe fn store(target: *mut f32, v: Self::V) {
        // SAFETY: the caller guarantees four writable floats.
        unsafe { target.cast::<Self::V>().write(v) }
    }

    #[inline(always)]
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        let one = |i: usize| {
            if FUSED {
                a[i].mul_add(b[i], c[i])
            } else {
                a[i] * b[i] + c[i]
            }
        };
        [one(0), one(1), one(2), one(3)]
    }

    #[inline(always)]
    unsafe fn sum(v: Self::V) -> f32 {
        (v[0] + v[2]) + (v[1] + v[3])
    }

    #[inline(always)]
    unsafe fn transpose(rows: &[*const f32; MAX_LANES], columns: &[*mut f32; MAX_LANES]) {
        // SAFETY: the caller guarantees four floats at each of the first four rows and columns.
        unsafe {
            let square = [0, 1, 2, 3].map(|i| Self::load(rows[i]));
            for (k, &column) in columns.iter().enumerate().take(4) {
                Self::store(
                    column,
                    [square[0][k], square[1][k], square[2][k], square[3][k]],
                );
            }
        }
    }
}
