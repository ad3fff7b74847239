//! Work on disjoint pieces of memory, over rayon's current pool where the feature is on.
//!
//! Who gets which piece never changes what is computed: partitions depend on shapes alone.

/// Calls `work(index, piece)` for each piece of `chunk` floats (the last may be shorter).
pub(crate) fn for_chunks(data: &mut [f32], chunk: usize, work: impl Fn(usize, &mut [f32]) + Sync) {
    #[cfg(feature = "rayon")]
    {
        use rayon::prelude::*;
        if data.len() > chunk {
            data.par_chunks_mut(chunk)
                .enumerate()
                .for_each(|(index, piece)| work(index, piece));
            return;
        }
    }
    for (index, piece) in data.chunks_mut(chunk).enumerate() {
        work(index, piece);
    }
}
