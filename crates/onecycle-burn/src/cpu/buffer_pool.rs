//! A pool of buffers for feature maps and gradients.
//!
//! Every training step needs buffers of the same few sizes. Fresh memory costs a page fault for
//! every 4 KiB, which is a noticeable part of a step, so buffers are kept for the next step.

use std::sync::{Mutex, PoisonError};

use burn::backend::flex::{FlexTensor, Layout};
use burn::tensor::{DType, Shape};

/// Smaller buffers (in floats) are not pooled: the allocator is as fast.
const MIN_LEN: usize = 4096;
/// A buffer that has not been used for this many requests is freed.
const MAX_AGE: u64 = 4096;

/// Unused buffers.
struct Pool {
    /// Each buffer with the time of its return.
    free: Vec<(u64, Vec<f32>)>,
    /// Number of requests so far.
    clock: u64,
}

static POOL: Mutex<Pool> = Mutex::new(Pool {
    free: Vec::new(),
    clock: 0,
});

/// Returns a buffer of `len` floats with unspecified values.
pub(super) fn take(len: usize) -> Vec<f32> {
    if len < MIN_LEN {
        return vec![0.0; len];
    }
    let kept = {
        let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
        pool.clock += 1;
        // The smallest buffer that is large enough and at most a quarter larger than needed.
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
        let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
        let now = pool.clock;
        pool.free.retain(|(since, _)| now - since < MAX_AGE);
        pool.free.push((now, buffer));
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
}
