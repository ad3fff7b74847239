//! AVX-512 (F, VL, DQ, BW: every server core since 2017): sixteen floats, thirty-two registers.

use core::arch::x86_64::*;

use super::{Kernel, MAX_LANES, Simd};

/// AVX-512F, VL, DQ and BW.
#[derive(Clone, Copy)]
pub(crate) struct Avx512;

// SAFETY of every block below: the caller guarantees the instructions and the validity of the pointers.
impl Simd for Avx512 {
    type V = __m512;
    const LANES: usize = 16;
    const TILE_CHANNELS: usize = 8;

    #[inline(always)]
    unsafe fn call<K: Kernel>(kernel: K) -> K::Output {
        // SAFETY: see above.
        unsafe { call(kernel) }
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
    unsafe fn fma(a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: see above.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    unsafe fn sum(v: __m512) -> f32 {
        // SAFETY: see above.
        unsafe { _mm512_reduce_add_ps(v) }
    }

    #[inline(always)]
    unsafe fn transpose(rows: &[*const f32; MAX_LANES], columns: &[*mut f32; MAX_LANES]) {
        // SAFETY: see above; all sixteen rows and columns are used.
        unsafe {
            let mut u = [_mm512_setzero_ps(); 16];
            // Within each quarter, 4x4 squares of four rows at a time: u[g + k] holds columns k, 4 + k, 8 + k, 12 + k of
            // rows g to g + 3.
            for g in [0, 4, 8, 12] {
                let [a, b, c, d] = [0, 1, 2, 3].map(|i| _mm512_loadu_ps(rows[g + i]));
                let (ab, ab_high) = (_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
                let (cd, cd_high) = (_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
                u[g] = _mm512_shuffle_ps::<0x44>(ab, cd);
                u[g + 1] = _mm512_shuffle_ps::<0xee>(ab, cd);
                u[g + 2] = _mm512_shuffle_ps::<0x44>(ab_high, cd_high);
                u[g + 3] = _mm512_shuffle_ps::<0xee>(ab_high, cd_high);
            }
            for k in 0..4 {
                let even = _mm512_shuffle_f32x4::<0x88>(u[k], u[k + 4]);
                let odd = _mm512_shuffle_f32x4::<0xdd>(u[k], u[k + 4]);
                let even_high = _mm512_shuffle_f32x4::<0x88>(u[k + 8], u[k + 12]);
                let odd_high = _mm512_shuffle_f32x4::<0xdd>(u[k + 8], u[k + 12]);
                Self::store(columns[k], _mm512_shuffle_f32x4::<0x88>(even, even_high));
                Self::store(columns[k + 4], _mm512_shuffle_f32x4::<0x88>(odd, odd_high));
                Self::store(
                    columns[k + 8],
                    _mm512_shuffle_f32x4::<0xdd>(even, even_high),
                );
                Self::store(columns[k + 12], _mm512_shuffle_f32x4::<0xdd>(odd, odd_high));
            }
        }
    }
}

#[inline(never)]
// Without VL the lower halves of sums must live in the first sixteen registers, and the compiler spills.
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
fn call<K: Kernel>(kernel: K) -> K::Output {
    // SAFETY: the features are enabled here, so callers had to see to them.
    unsafe { kernel.run::<Avx512>() }
}
