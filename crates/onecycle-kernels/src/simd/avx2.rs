//! AVX2 with FMA: vectors of eight floats, sixteen registers.

use core::arch::x86_64::*;

use super::{Simd, WithSimd};

/// AVX2 and FMA.
#[derive(Clone, Copy)]
pub(crate) struct Avx2;

// SAFETY of every block below: the caller guarantees the instructions and valid pointers.
impl Simd for Avx2 {
    type V = __m256;
    const LANES: usize = 8;
    const REGISTERS: usize = 16;

    #[inline(always)]
    unsafe fn call<W: WithSimd>(work: W) -> W::Output {
        // SAFETY: see above.
        unsafe { call(work) }
    }

    #[inline(always)]
    unsafe fn splat(x: f32) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_set1_ps(x) }
    }

    #[inline(always)]
    unsafe fn load(source: *const f32) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_loadu_ps(source) }
    }

    #[inline(always)]
    unsafe fn store(target: *mut f32, v: __m256) {
        // SAFETY: see above.
        unsafe { _mm256_storeu_ps(target, v) }
    }

    #[inline(always)]
    unsafe fn load_first(source: *const f32, count: usize) -> __m256 {
        // SAFETY: see above; lanes outside of the mask are not accessed.
        unsafe { _mm256_maskload_ps(source, first(count)) }
    }

    /// Stores 4, 2 and 1 lanes separately: a masked store takes ten cycles more on AMD's Zen 3.
    #[inline(always)]
    unsafe fn store_first(target: *mut f32, v: __m256, count: usize) {
        // SAFETY: see above; every part that is written lies within the first `count` lanes.
        unsafe {
            if count >= 8 {
                return _mm256_storeu_ps(target, v);
            }
            let (mut part, mut target) = (_mm256_castps256_ps128(v), target);
            if count >= 4 {
                _mm_storeu_ps(target, part);
                (part, target) = (_mm256_extractf128_ps::<1>(v), target.add(4));
            }
            if count & 2 != 0 {
                _mm_storel_pd(target.cast(), _mm_castps_pd(part));
                (part, target) = (_mm_movehl_ps(part, part), target.add(2));
            }
            if count & 1 != 0 {
                _mm_store_ss(target, part);
            }
        }
    }

    #[inline(always)]
    unsafe fn fma(a: __m256, b: __m256, c: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    fn mul_add(a: f32, b: f32, c: f32) -> f32 {
        a.mul_add(b, c)
    }

    #[inline(always)]
    unsafe fn add(a: __m256, b: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_add_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn sub(a: __m256, b: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_sub_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn mul(a: __m256, b: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_mul_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn max(a: __m256, b: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_max_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn min(a: __m256, b: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_min_ps(a, b) }
    }

    #[inline(always)]
    unsafe fn where_larger(x: __m256, y: __m256, chosen: __m256, other: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe {
            let larger = _mm256_cmp_ps::<_CMP_GT_OQ>(x, y);
            let nan = _mm256_cmp_ps::<_CMP_UNORD_Q>(x, x);
            _mm256_blendv_ps(other, chosen, _mm256_or_ps(larger, nan))
        }
    }

    #[inline(always)]
    unsafe fn where_equal(x: __m256, y: __m256, chosen: __m256, other: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_blendv_ps(other, chosen, _mm256_cmp_ps::<_CMP_EQ_OQ>(x, y)) }
    }
}

/// A mask that selects the first `count` lanes.
///
/// # Safety
/// The machine has AVX2.
#[inline(always)]
unsafe fn first(count: usize) -> __m256i {
    // SAFETY: the caller's guarantee.
    unsafe {
        let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        _mm256_cmpgt_epi32(_mm256_set1_epi32(count as i32), lanes)
    }
}

#[inline(never)]
#[target_feature(enable = "avx2,fma")]
fn call<W: WithSimd>(work: W) -> W::Output {
    // SAFETY: this function enables the features, so its callers have checked for them.
    unsafe { work.run::<Avx2>() }
}
