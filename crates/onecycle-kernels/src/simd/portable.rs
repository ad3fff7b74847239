//! Plain Rust on four floats, which the compiler maps to one register of SSE, NEON or the like.

use super::{Simd, WithSimd};

/// Needs no instructions beyond those of the compilation target.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

/// Whether the target has a fused multiply-add; without one, `mul_add` is a slow library call.
const FUSED: bool = cfg!(any(target_arch = "aarch64", target_feature = "fma"));

/// The results of `f` for lanes 0 to 3.
#[inline(always)]
fn lanes(f: impl Fn(usize) -> f32) -> [f32; 4] {
    [f(0), f(1), f(2), f(3)]
}

impl Simd for Portable {
    type V = [f32; 4];
    const LANES: usize = 4;
    const REGISTERS: usize = if cfg!(target_arch = "aarch64") {
        32
    } else {
        16
    };

    #[inline(never)]
    unsafe fn call<W: WithSimd>(work: W) -> W::Output {
        // SAFETY: no instructions beyond those of the compilation target are needed.
        unsafe { work.run::<Self>() }
    }

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self::V {
        [x; 4]
    }

    #[inline(always)]
    unsafe fn load(source: *const f32) -> Self::V {
        // SAFETY: the caller guarantees four readable floats; an array of `f32` is aligned like
        // `f32`.
        unsafe { source.cast::<Self::V>().read() }
    }

    #[inline(always)]
    unsafe fn store(target: *mut f32, v: Self::V) {
        // SAFETY: the caller guarantees four writable floats.
        unsafe { target.cast::<Self::V>().write(v) }
    }

    #[inline(always)]
    unsafe fn load_first(source: *const f32, count: usize) -> Self::V {
        lanes(|i| {
            if i < count {
                // SAFETY: the caller guarantees `count` readable floats.
                unsafe { source.add(i).read() }
            } else {
                0.0
            }
        })
    }

    #[inline(always)]
    unsafe fn store_first(target: *mut f32, v: Self::V, count: usize) {
        for (i, x) in v.into_iter().enumerate().take(count) {
            // SAFETY: the caller guarantees `count` writable floats.
            unsafe { target.add(i).write(x) }
        }
    }

    #[inline(always)]
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        lanes(|i| Self::mul_add(a[i], b[i], c[i]))
    }

    #[inline(always)]
    fn mul_add(a: f32, b: f32, c: f32) -> f32 {
        if FUSED { a.mul_add(b, c) } else { a * b + c }
    }

    #[inline(always)]
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V {
        lanes(|i| a[i] + b[i])
    }

    #[inline(always)]
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V {
        lanes(|i| a[i] - b[i])
    }

    #[inline(always)]
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V {
        lanes(|i| a[i] * b[i])
    }

    #[inline(always)]
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V {
        lanes(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }

    #[inline(always)]
    unsafe fn min(a: Self::V, b: Self::V) -> Self::V {
        lanes(|i| if a[i] < b[i] { a[i] } else { b[i] })
    }

    #[inline(always)]
    unsafe fn where_larger(x: Self::V, y: Self::V, chosen: Self::V, other: Self::V) -> Self::V {
        lanes(|i| {
            if x[i] > y[i] || x[i].is_nan() {
                chosen[i]
            } else {
                other[i]
            }
        })
    }

    #[inline(always)]
    unsafe fn where_equal(x: Self::V, y: Self::V, chosen: Self::V, other: Self::V) -> Self::V {
        lanes(|i| if x[i] == y[i] { chosen[i] } else { other[i] })
    }
}
