//! Software prefetch: hints that load a cache line before it is read or written.
//!
//! Hardware prefetchers follow sequential accesses, but stop at page boundaries and do not run far
//! enough ahead if memory is slow. A hint never faults, so any address is allowed. On targets
//! without a prefetch instruction these functions do nothing.

/// Floats per cache line.
pub(crate) const LINE: usize = 16;
/// Prefetch distance of loops over long slices, in floats: a page of 4 KiB.
const AHEAD: usize = 1024;

/// Prefetches a cache line that will be read.
#[inline(always)]
pub(crate) fn prefetch(source: *const f32) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: every x86-64 processor has the instruction, and it accepts any address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(source.cast()) }
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = source;
}

/// Prefetches a cache line that will be written. The compiler emits an ordinary read prefetch here,
/// because the feature `prfchw` is not enabled; `prefetchw` was measured and is no faster.
#[inline(always)]
pub(crate) fn prefetch_to_write(target: *const f32) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        use std::arch::x86_64::{_MM_HINT_ET0, _mm_prefetch};
        // SAFETY: as above; processors without prefetch for writing ignore the hint.
        unsafe { _mm_prefetch::<_MM_HINT_ET0>(target.cast()) }
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = target;
}

/// Prefetches for reading what lies [`AHEAD`] floats after `here`, possibly beyond the slice that
/// `here` is part of.
#[inline(always)]
pub(crate) fn read_ahead(here: &[f32]) {
    for at in (0..here.len()).step_by(LINE) {
        prefetch(here.as_ptr().wrapping_add(AHEAD + at));
    }
}

/// Like [`read_ahead`], for memory that will be written.
#[inline(always)]
pub(crate) fn write_ahead(here: &[f32]) {
    for at in (0..here.len()).step_by(LINE) {
        prefetch_to_write(here.as_ptr().wrapping_add(AHEAD + at));
    }
}
