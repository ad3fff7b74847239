//! Asking for memory before it is read or written: hints, which any address will do for. Nothing happens where the processor has no
//! such instruction.
//!
//! The processor foresees a walk by itself, but not across the border of a page and not far enough where memory is slow.

/// Floats of a cache line.
pub(crate) const LINE: usize = 16;
/// Floats that loops over long slices ask ahead: a page of 4 KiB.
const AHEAD: usize = 1024;

/// Asks for a cache line that is going to be read.
#[inline(always)]
pub(crate) fn prefetch(source: *const f32) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: every x86-64 has the instruction, and it takes any address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(source.cast()) }
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = source;
}

/// Asks for a cache line that is going to be written. Not told of the feature `prfchw`, the compiler makes a prefetch for reading
/// of it; `prefetchw` itself was measured to be no faster.
#[inline(always)]
pub(crate) fn prefetch_to_write(target: *const f32) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        use std::arch::x86_64::{_MM_HINT_ET0, _mm_prefetch};
        // SAFETY: as above; where the processor cannot prefetch for writing, it does nothing.
        unsafe { _mm_prefetch::<_MM_HINT_ET0>(target.cast()) }
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = target;
}

/// Asks for what will be read [`AHEAD`] floats behind `here`, which may lie outside of the slice that `here` is part of.
#[inline(always)]
pub(crate) fn read_ahead(here: &[f32]) {
    for at in (0..here.len()).step_by(LINE) {
        prefetch(here.as_ptr().wrapping_add(AHEAD + at));
    }
}

/// Asks for what will be written [`AHEAD`] floats behind `here`, likewise.
#[inline(always)]
pub(crate) fn write_ahead(here: &[f32]) {
    for at in (0..here.len()).step_by(LINE) {
        prefetch_to_write(here.as_ptr().wrapping_add(AHEAD + at));
    }
}
