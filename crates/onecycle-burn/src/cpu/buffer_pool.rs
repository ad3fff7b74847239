//! Memory of feature maps and gradients that is used again.
//!
//! A training step needs the same few sizes over and over. Fresh memory of this size costs a page fault for every four
//! kibibytes, which is a noticeable part of a step; so what a step no longer needs is kept for the next.

use std::sync::{Mutex, PoisonError};

use burn::backend::flex::{FlexTensor, Layout};
use burn::tensor::{DType, Shape};

/// Below this many floats the allocator is as fast.
const SMALLEST: usize = 4096;
/// Memory that was not asked for during as many requests goes back to the system.
const PATIENCE: u64 = 4096;

/// Buffers that nobody holds.
struct Pool {
    /// When it came back, and the buffer.
    free: Vec<(u64, Vec<f32>)>,
    /// Counts requests.
    clock: u64,
}

static POOL: Mutex<Pool> = Mutex::new(Pool {
    free: Vec::new(),
    clock: 0,
});

/// A buffer of `len` floats of unspecified value.
pub(super) fn take(len: usize) -> Vec<f32> {
    if len < SMALLEST {
        return vec![0.0; len];
    }
    let kept = {
        let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
        pool.clock += 1;
        // The smallest that is large enough, and not much larger.
        let fit = (0..pool.free.len())
            .filter(|&i| (len..=len + len / 4).contains(&pool.free[i].1.len()))
            .min_by_key(|&i| pool.free[i].1.len());
        fit.map(|i| pool.free.swap_remove(i).1)
    };
    match kept {
        Some(mut buffer) => {
            buffer.truncate(len);
            buffer
        }
        None => vec![0.0; len],
    }
}

/// Keeps the memory of a tensor for later, if nobody else holds it.
pub(super) fn give_back(tensor: FlexTensor) {
    if tensor.dtype() != DType::F32 || !tensor.is_unique() {
        return;
    }
    let len = tensor.storage::<f32>().len();
    if len < SMALLEST {
        return;
    }
    let flat = tensor.with_layout(Layout::contiguous(Shape::from([len])));
    if let Ok(buffer) = flat.into_data().try_into_vec::<f32>() {
        let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
        let now = pool.clock;
        pool.free.retain(|(since, _)| now - since < PATIENCE);
        pool.free.push((now, buffer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::TensorData;

    #[test]
    fn memory_comes_back() {
        let len = 3 * SMALLEST + 17;
        let buffer = take(len);
        let address = buffer.as_ptr() as usize;
        let tensor = FlexTensor::from_data(TensorData::new(buffer, [len]));
        let shared = tensor.clone();
        give_back(shared);
        let other = take(len);
        assert_ne!(
            other.as_ptr() as usize,
            address,
            "somebody else still holds it"
        );
        give_back(tensor);
        let again = take(len);
        assert_eq!(again.as_ptr() as usize, address);
    }
}
