//! Asking for memory that a loop over long slices comes to next.
//!
//! The processor foresees a walk by itself, but not across the border of a page and not far enough where memory is slow.

/// Floats that the loops ask ahead: a page of 4 KiB.
const AHEAD: usize = 1024;
/// Floats of a cache line.
const LINE: usize = 16;

/// Asks for what will be read [`AHEAD`] floats behind `here`. A hint: it may lie outside of the slice that `here` is part of.
#[inline(always)]
pub(crate) fn read_ahead(here: &[f32]) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    for at in (0..here.len()).step_by(LINE) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: every x86-64 has the instruction, and it takes any address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(here.as_ptr().wrapping_add(AHEAD + at).cast()) }
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = here;
}

/// Asks for what will be written [`AHEAD`] floats behind `here`, likewise.
#[inline(always)]
pub(crate) fn write_ahead(here: &[f32]) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    for at in (0..here.len()).step_by(LINE) {
        use std::arch::x86_64::{_MM_HINT_ET0, _mm_prefetch};
        // SAFETY: as above; where the processor cannot prefetch for writing, it does nothing.
        unsafe { _mm_prefetch::<_MM_HINT_ET0>(here.as_ptr().wrapping_add(AHEAD + at).cast()) }
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = here;
}
