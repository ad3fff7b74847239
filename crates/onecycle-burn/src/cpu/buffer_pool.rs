//! A pool of buffers for feature maps and gradients.
//!
//! Every training step needs buffers of the same few sizes. Fresh memory costs a page fault for
//! every 4 KiB, which is a noticeable part of a step, so buffers are kept for the next step.

use std::sync::{Mutex, MutexGuard, PoisonError};

use burn::backend::flex::{FlexTensor, Layout};
use burn::tensor::{DType, Shape};

/// Smaller buffers (in elements) are not pooled: the allocator is as fast.
const MIN_LEN: usize = 4096;
/// A buffer that has not been used for this many requests is freed.
const MAX_AGE: u64 = 4096;

/// Unused buffers of one kind of element.
struct Pool<T> {
    /// Each buffer with the time of its return.
    free: Vec<(u64, Vec<T>)>,
    /// Number of requests so far.
    clock: u64,
}

/// Feature maps and gradients.
static MAPS: Mutex<Pool<f32>> = Mutex::new(Pool::new());
/// Positions of maxima.
static POSITIONS: Mutex<Pool<u16>> = Mutex::new(Pool::new());

impl<T: Clone + Default> Pool<T> {
    const fn new() -> Self {
        Pool {
            free: Vec::new(),
            clock: 0,
        }
    }

    /// The smallest buffer that is large enough and at most a quarter larger than needed.
    fn find(&mut self, len: usize) -> Option<Vec<T>> {
        self.clock += 1;
        let fit = (0..self.free.len())
            .filter(|&i| (len..=len + len / 4).contains(&self.free[i].1.len()))
            .min_by_key(|&i| self.free[i].1.len());
        fit.map(|i| self.free.swap_remove(i).1)
    }

    fn keep(&mut self, buffer: Vec<T>) {
        let now = self.clock;
        self.free.retain(|(since, _)| now - since < MAX_AGE);
        self.free.push((now, buffer));
    }
}

/// A buffer of `len` elements with unspecified values, from the pool if it has one.
fn take_from<T: Clone + Default>(pool: &Mutex<Pool<T>>, len: usize) -> Vec<T> {
    if len < MIN_LEN {
        return vec![T::default(); len];
    }
    let kept = lock(pool).find(len);
    match kept {
        Some(mut buffer) => {
            buffer.truncate(len);
            buffer
        }
        None => vec![T::default(); len],
    }
}

fn lock<T>(pool: &Mutex<Pool<T>>) -> MutexGuard<'_, Pool<T>> {
    pool.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns a buffer of `len` floats with unspecified values.
pub(super) fn take(len: usize) -> Vec<f32> {
    take_from(&MAPS, len)
}

/// Returns a buffer for `len` positions, with unspecified values.
pub(super) fn take_positions(len: usize) -> Vec<u16> {
    take_from(&POSITIONS, len)
}

/// Keeps the memory of positions for later.
pub(super) fn give_back_positions(buffer: Vec<u16>) {
    if buffer.len() >= MIN_LEN {
        lock(&POSITIONS).keep(buffer);
    }
}

/// Keeps the memory of a tensor for later, unless it is shared with another tensor.
pub(super) fn give_back(tensor: FlexTensor) {
    if tensor.dtype() != DType::F32 || !tensor.is_unique() {
        return;
    }
    let len = tensor.storage::<f32>().len();
    if len < MIN_LEN {
        return;
    }
    let flat = tensor.with_layout(Layout::contiguous(Shape::from([len])));
    if let Ok(buffer) = flat.into_data().try_into_vec::<f32>() {
        lock(&MAPS).keep(buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::TensorData;

    #[test]
    fn buffers_are_reused_unless_shared() {
        let len = 3 * MIN_LEN + 17;
        let buffer = take(len);
        let address = buffer.as_ptr() as usize;
        let tensor = FlexTensor::from_data(TensorData::new(buffer, [len]));
        let shared = tensor.clone();
        give_back(shared);
        let other = take(len);
        assert_ne!(
            other.as_ptr() as usize,
            address,
            "the memory is still shared"
        );
        give_back(tensor);
        let again = take(len);
        assert_eq!(again.as_ptr() as usize, address);
    }

    #[test]
    fn positions_are_reused() {
        let len = 5 * MIN_LEN + 3;
        let buffer = take_positions(len);
        let address = buffer.as_ptr() as usize;
        give_back_positions(buffer);
        let again = take_positions(len - 1);
        assert_eq!((again.as_ptr() as usize, again.len()), (address, len - 1));
    }
}
