//! AVX-512 (F, VL, DQ, BW, which every server core with AVX-512 since 2017 has): vectors of sixteen
//! floats, thirty-two registers.

use core::arch::x86_64::*;

use super::{Simd, WithSimd};

/// AVX-512F, VL, DQ and BW.
#[derive(Clone, Copy)]
pub(crate) struct Avx512;

// SAFETY of every block below: the caller guarantees the instructions and valid pointers.
impl Simd for Avx512 {
    type V = __m512;
    const LANES: usize = 16;
    const REGISTERS: usize = 32;

    #[inline(always)]
    unsafe fn call<W: WithSimd>(work: W) -> W::Output {
        // SAFETY: see above.
        unsafe { call(work) }
    }

    #[inline(always)]
    unsafe fn splat(x: f32) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_set1_ps(x) }
    }

    #[inline(always)]
    unsafe fn load(source: *const f32) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_loadu_ps(source) }
    }

    #[inline(always)]
    unsafe fn store(target: *mut f32, v: __m512) {
        // SAFETY: see above.
        unsafe { _mm512_storeu_ps(target, v) }
    }

    #[inline(always)]
    unsafe fn load_first(source: *const f32, count: usize) -> __m512 {
        // SAFETY: see above; lanes outside of the mask are not accessed.
        unsafe { _mm512_maskz_loadu_ps(first(count), source) }
    }

    #[inline(always)]
    unsafe fn store_first(target: *mut f32, v: __m512, count: usize) {
        // SAFETY: as in `load_first`.
        unsafe { _mm512_mask_storeu_ps(target, first(count), v) }
    }

    #[inline(always)]
    unsafe fn fma(a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn mul_add(a: f32, b: f32, c: f32) -> f32 {
        a.mul_add(b, c)
    }

    #[inline(always)]
    unsafe fn add(a: __m512, b: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_add_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn sub(a: __m512, b: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_sub_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn mul(a: __m512, b: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn max(a: __m512, b: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_max_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn min(a: __m512, b: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_min_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn where_larger(x: __m512, y: __m512, chosen: __m512, other: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe {
            let larger = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(x, y);
            let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(x, x);
            _mm512_mask_blend_ps(larger | nan, other, chosen)
        }
    }

    #[inline(always)]
    unsafe fn where_equal(x: __m512, y: __m512, chosen: __m512, other: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_EQ_OQ>(x, y), other, chosen) }
    }
}

/// A mask that selects the first `count` lanes.
#[inline(always)]
fn first(count: usize) -> __mmask16 {
    ((1_u32 << count) - 1) as __mmask16
}

#[inline(never)]
// Without VL, the lower halves of vectors can only live in the first sixteen registers, and the
// compiler spills registers to memory.
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
fn call<W: WithSimd>(work: W) -> W::Output {
    // SAFETY: this function enables the features, so its callers have checked for them.
    unsafe { work.run::<Avx512>() }
}
