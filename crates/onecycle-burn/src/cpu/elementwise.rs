//! GELU on tensors of any shape.

use burn::{
    backend::flex::{FlexTensor, Layout},
    tensor::{Bytes, DType},
};

use super::{
    buffer_pool,
    channels_last::ChannelsLast,
    kernels::{KERNELS, elements, expect_valid, vector},
};

/// The tensor with all its memory in use, so that an operation on each element can ignore its
/// shape. Two tensors of the same shape get the same order: channels-last with four dimensions,
/// row-major otherwise.
pub(super) fn in_memory_order(tensor: FlexTensor) -> FlexTensor {
    let shape = tensor.layout().shape().clone();
    if shape.num_dims() == 4 {
        return ChannelsLast::read(tensor).into_tensor();
    }
    let whole = tensor.storage::<f32>().len() == shape.num_elements();
    if whole && tensor.as_slice::<f32>().is_some() {
        return tensor;
    }
    vector(elements(&tensor).into_owned()).with_layout(Layout::contiguous(shape))
}

/// GELU of a tensor [`in_memory_order`].
pub(super) fn gelu(x: &FlexTensor) -> FlexTensor {
    let input = x.storage::<f32>();
    let mut y = buffer_pool::take(input.len());
    expect_valid("gelu", KERNELS.gelu_forward(input, &mut y));
    FlexTensor::new(Bytes::from_elems(y), x.layout().clone(), DType::F32)
}

/// Gradient of the input of [`gelu`] from that of the output, both [`in_memory_order`]. Uses the
/// memory of `gradient` unless that is shared.
pub(super) fn gelu_backward(x: &FlexTensor, mut gradient: FlexTensor) -> FlexTensor {
    if !gradient.is_unique() {
        let values = gradient.storage::<f32>();
        let mut copy = buffer_pool::take(values.len());
        copy.copy_from_slice(values);
        let layout = gradient.layout().clone();
        gradient = FlexTensor::new(Bytes::from_elems(copy), layout, DType::F32);
    }
    let computed = KERNELS.gelu_backward(x.storage(), gradient.storage_mut());
    expect_valid("gelu", computed);
    gradient
}
