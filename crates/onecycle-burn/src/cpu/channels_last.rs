//! Feature maps in channels-last memory.

use burn::backend::flex::{FlexTensor, Layout};
use burn::tensor::{Bytes, DType, Shape};

use super::buffer_pool;

/// A feature map with Burn's shape `[batch, channels, height, width]`, stored contiguously as
/// `[batch, height, width, channels]` (PyTorch's `channels_last`).
#[derive(Clone, Debug)]
pub(super) struct ChannelsLast {
    tensor: FlexTensor,
    /// `[batch, channels, height, width]`.
    pub(super) dims: [usize; 4],
}

impl ChannelsLast {
    /// Uses the tensor's memory if it is channels-last, otherwise copies it.
    ///
    /// # Panics
    /// The tensor does not have four dimensions, or its type is not `f32`. The layers check both.
    pub(super) fn read(tensor: FlexTensor) -> Self {
        let [batch, channels, height, width] = tensor.layout().shape().dims();
        let dims = [batch, channels, height, width];
        let strides = tensor.layout().strides();
        let storage = tensor.storage::<f32>();
        let in_order = dims
            .iter()
            .zip(strides)
            .zip(strides_of(dims))
            .all(|((&size, &stride), expected)| size == 1 || stride == expected);
        if in_order
            && tensor.layout().start_offset() == 0
            && storage.len() == dims.iter().product::<usize>()
        {
            return ChannelsLast { tensor, dims };
        }
        let mut values = buffer_pool::take(dims.iter().product());
        let start = tensor.layout().start_offset() as isize;
        let [sn, sc, sh, sw] = [strides[0], strides[1], strides[2], strides[3]];
        let mut pixels = values.chunks_exact_mut(channels);
        for n in 0..batch as isize {
            for y in 0..height as isize {
                for x in 0..width as isize {
                    let from = start + n * sn + y * sh + x * sw;
                    let Some(pixel) = pixels.next() else { continue };
                    for (c, value) in (0..).zip(pixel) {
                        *value = storage[(from + c * sc) as usize];
                    }
                }
            }
        }
        // The memory goes back to the allocator, not to the pool. Tensors in another order come
        // from outside of the layers (mostly images), and their creators never use the pool.
        drop(tensor);
        ChannelsLast::new(values, dims)
    }

    /// From values in channels-last order.
    pub(super) fn new(values: Vec<f32>, dims: [usize; 4]) -> Self {
        let layout = Layout::new(Shape::from(dims), strides_of(dims).to_vec(), 0);
        ChannelsLast {
            tensor: FlexTensor::new(Bytes::from_elems(values), layout, DType::F32),
            dims,
        }
    }

    /// Computed by `fill`, which receives a buffer with unspecified values.
    pub(super) fn filled<E>(
        dims: [usize; 4],
        fill: impl FnOnce(&mut [f32]) -> Result<(), E>,
    ) -> Result<Self, E> {
        let mut values = buffer_pool::take(dims.iter().product());
        fill(&mut values)?;
        Ok(ChannelsLast::new(values, dims))
    }

    /// The values in channels-last order.
    pub(super) fn values(&self) -> &[f32] {
        self.tensor.storage()
    }

    /// Whether no other tensor shares the memory.
    pub(super) fn is_unique(&self) -> bool {
        self.tensor.is_unique()
    }

    /// The values for writing. Copies them first if the memory is shared.
    pub(super) fn values_mut(&mut self) -> &mut [f32] {
        if !self.is_unique() {
            let mut copy = buffer_pool::take(self.values().len());
            copy.copy_from_slice(self.values());
            *self = ChannelsLast::new(copy, self.dims);
        }
        self.tensor.storage_mut()
    }

    /// The tensor for Burn.
    pub(super) fn into_tensor(self) -> FlexTensor {
        self.tensor
    }

    /// Returns the memory to the pool, unless it is shared.
    pub(super) fn give_back(self) {
        buffer_pool::give_back(self.tensor);
    }
}

/// Strides of `[batch, channels, height, width]` in channels-last memory.
fn strides_of([_, channels, height, width]: [usize; 4]) -> [isize; 4] {
    [
        (channels * height * width) as isize,
        1,
        (width * channels) as isize,
        channels as isize,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::TensorData;

    #[test]
    fn channels_first_is_transposed_and_back() {
        // Two images of two channels and 1 x 3 pixels.
        let values: Vec<f32> = (0..12).map(|i| i as f32).collect();
        let tensor = FlexTensor::from_data(TensorData::new(values.clone(), [2, 2, 1, 3]));
        let images = ChannelsLast::read(tensor);
        assert_eq!(
            images.values(),
            [0.0, 3.0, 1.0, 4.0, 2.0, 5.0, 6.0, 9.0, 7.0, 10.0, 8.0, 11.0]
        );
        let back = images.clone().into_tensor().into_data();
        assert_eq!(back.iter::<f32>().collect::<Vec<_>>(), values);
        // A channels-last tensor is not copied.
        let address = images.values().as_ptr();
        let again = ChannelsLast::read(images.into_tensor());
        assert_eq!(again.values().as_ptr(), address);
    }

    #[test]
    fn writing_to_a_shared_map_does_not_change_the_other() {
        let mut one = ChannelsLast::new(vec![1.0, 2.0], [1, 2, 1, 1]);
        let other = one.clone();
        one.values_mut()[0] = 5.0;
        assert_eq!((one.values()[0], other.values()[0]), (5.0, 1.0));
    }
}
