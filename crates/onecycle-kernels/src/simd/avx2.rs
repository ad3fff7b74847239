//! AVX2 with FMA: eight floats, sixteen registers.

use core::arch::asm;
use core::arch::x86_64::*;

use super::{Kernel, MAX_LANES, Simd};

/// AVX2 and FMA.
#[derive(Clone, Copy)]
pub(crate) struct Avx2;

// SAFETY of every block below: the caller guarantees the instructions and the validity of the pointers.
impl Simd for Avx2 {
    type V = __m256;
    const LANES: usize = 8;
    const TILE_CHANNELS: usize = 4;

    #[inline(always)]
    unsafe fn call<K: Kernel>(kernel: K) -> K::Output {
        // SAFETY: see above.
        unsafe { call(kernel) }
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
    unsafe fn fma(a: __m256, b: __m256, c: __m256) -> __m256 {
        // SAFETY: see above.
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }

    #[inline(always)]
    unsafe fn taps_4x3(
        sums: &mut [[__m256; 3]; 4],
        source: *const f32,
        offsets: &[u32],
        weights: *const f32,
    ) {
        // SAFETY: see above.
        unsafe { taps_4x3(sums, source, offsets, weights) }
    }

    #[inline(always)]
    unsafe fn sum(v: __m256) -> f32 {
        // SAFETY: see above.
        unsafe {
            let half = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
            let pair = _mm_add_ps(half, _mm_movehl_ps(half, half));
            _mm_cvtss_f32(_mm_add_ss(pair, _mm_movehdup_ps(pair)))
        }
    }

    #[inline(always)]
    unsafe fn transpose(rows: &[*const f32; MAX_LANES], columns: &[*mut f32; MAX_LANES]) {
        // SAFETY: see above; the first eight rows and columns are used.
        unsafe {
            let mut r = [_mm256_setzero_ps(); 8];
            for i in 0..8 {
                r[i] = Self::load(rows[i]);
            }
            // Within each half, 4x4 squares of rows 0-3 (u[0..4]) and rows 4-7 (u[4..8]); then halves are exchanged.
            let mut u = r;
            for g in [0, 4] {
                let (a, b) = (
                    _mm256_unpacklo_ps(r[g], r[g + 1]),
                    _mm256_unpackhi_ps(r[g], r[g + 1]),
                );
                let (c, d) = (
                    _mm256_unpacklo_ps(r[g + 2], r[g + 3]),
                    _mm256_unpackhi_ps(r[g + 2], r[g + 3]),
                );
                u[g] = _mm256_shuffle_ps::<0x44>(a, c);
                u[g + 1] = _mm256_shuffle_ps::<0xee>(a, c);
                u[g + 2] = _mm256_shuffle_ps::<0x44>(b, d);
                u[g + 3] = _mm256_shuffle_ps::<0xee>(b, d);
            }
            for k in 0..4 {
                Self::store(columns[k], _mm256_permute2f128_ps::<0x20>(u[k], u[k + 4]));
                Self::store(
                    columns[k + 4],
                    _mm256_permute2f128_ps::<0x31>(u[k], u[k + 4]),
                );
            }
        }
    }
}

#[inline(never)]
#[target_feature(enable = "avx2,fma")]
fn call<K: Kernel>(kernel: K) -> K::Output {
    // SAFETY: the features are enabled here, so callers had to see to them.
    unsafe { kernel.run::<Avx2>() }
}

/// See [`Simd::taps_4x3`].
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn taps_4x3(
    sums: &mut [[__m256; 3]; 4],
    source: *const f32,
    offsets: &[u32],
    weights: *const f32,
) {
    if offsets.is_empty() {
        return;
    }
    let [[a0, a1, a2], [b0, b1, b2], [c0, c1, c2], [d0, d1, d2]] = sums;
    // Twelve sums, three vectors of pixels and one weight fill the sixteen registers exactly.
    // SAFETY: reads three vectors at each offset and four weights per offset, as the caller guarantees; the count is
    // not zero; nothing is written.
    unsafe {
        asm!(
            "2:",
            "mov {offset:e}, dword ptr [{offsets}]",
            "vmovups {x0}, ymmword ptr [{source} + 4*{offset}]",
            "vmovups {x1}, ymmword ptr [{source} + 4*{offset} + 32]",
            "vmovups {x2}, ymmword ptr [{source} + 4*{offset} + 64]",
            "vbroadcastss {w}, dword ptr [{weights}]",
            "vfmadd231ps {a0}, {x0}, {w}",
            "vfmadd231ps {a1}, {x1}, {w}",
            "vfmadd231ps {a2}, {x2}, {w}",
            "vbroadcastss {w}, dword ptr [{weights} + 4]",
            "vfmadd231ps {b0}, {x0}, {w}",
            "vfmadd231ps {b1}, {x1}, {w}",
            "vfmadd231ps {b2}, {x2}, {w}",
            "vbroadcastss {w}, dword ptr [{weights} + 8]",
            "vfmadd231ps {c0}, {x0}, {w}",
            "vfmadd231ps {c1}, {x1}, {w}",
            "vfmadd231ps {c2}, {x2}, {w}",
            "vbroadcastss {w}, dword ptr [{weights} + 12]",
            "vfmadd231ps {d0}, {x0}, {w}",
            "vfmadd231ps {d1}, {x1}, {w}",
            "vfmadd231ps {d2}, {x2}, {w}",
            "add {weights}, 16",
            "add {offsets}, 4",
            "dec {count}",
            "jnz 2b",
            source = in(reg) source,
            offsets = inout(reg) offsets.as_ptr() => _,
            weights = inout(reg) weights => _,
            count = inout(reg) offsets.len() => _,
            offset = out(reg) _,
            x0 = out(ymm_reg) _,
            x1 = out(ymm_reg) _,
            x2 = out(ymm_reg) _,
            w = out(ymm_reg) _,
            a0 = inout(ymm_reg) *a0,
            a1 = inout(ymm_reg) *a1,
            a2 = inout(ymm_reg) *a2,
            b0 = inout(ymm_reg) *b0,
            b1 = inout(ymm_reg) *b1,
            b2 = inout(ymm_reg) *b2,
            c0 = inout(ymm_reg) *c0,
            c1 = inout(ymm_reg) *c1,
            c2 = inout(ymm_reg) *c2,
            d0 = inout(ymm_reg) *d0,
            d1 = inout(ymm_reg) *d1,
            d2 = inout(ymm_reg) *d2,
            options(nostack, readonly, pure),
        );
    }
}
