//! Parallel loops over disjoint chunks, on rayon's current thread pool if the feature is enabled.
//!
//! Chunk sizes depend on shapes alone, so results do not depend on the number of threads.

/// Calls `work(index, chunk)` for every chunk of `chunk` values; the last may be shorter.
pub(crate) fn for_chunks<T: Send>(
    data: &mut [T],
    chunk: usize,
    work: impl Fn(usize, &mut [T]) + Sync,
) {
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

/// [`for_chunks`] over two slices in lockstep: chunks of `chunks[0]` values of the first and
/// `chunks[1]` values of the second. Both slices must have the same number of chunks.
pub(crate) fn for_chunk_pairs<T: Send, U: Send>(
    (first, second): (&mut [T], &mut [U]),
    chunks: [usize; 2],
    work: impl Fn(usize, &mut [T], &mut [U]) + Sync,
) {
    #[cfg(feature = "rayon")]
    {
        use rayon::prelude::*;
        if first.len() > chunks[0] {
            first
                .par_chunks_mut(chunks[0])
                .zip(second.par_chunks_mut(chunks[1]))
                .enumerate()
                .for_each(|(index, (first, second))| work(index, first, second));
            return;
        }
    }
    for (index, (first, second)) in first
        .chunks_mut(chunks[0])
        .zip(second.chunks_mut(chunks[1]))
        .enumerate()
    {
        work(index, first, second);
    }
}
