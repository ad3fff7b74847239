//! Forward passes on a device with autodiff that no backward pass follows.
//!
//! Burn keeps the operations of a tracked pass and their feature maps until a backward pass starts
//! from its result; for a batch of 32 images in ResNet-20 these are 50 MB. Without a backward pass, they
//! stay in memory until the program ends. So such passes use [parameters without
//! gradients](parameters). Of an untracked pass, Burn keeps a small note about each operation until the
//! next backward pass of any tensor, which [`forget`] makes.

use burn::{
    module::Module,
    tensor::{Device, Tensor},
};

/// `model` with parameters that need no gradient. It has the same layers in the same modes: batch norm
/// trains as before.
pub(crate) fn parameters<M: Module>(model: M) -> M {
    model.no_grad()
}

/// Frees what Burn keeps of untracked passes on `device`.
pub(crate) fn forget(device: &Device) {
    let nothing = Tensor::<1>::zeros([1], &device.clone().autodiff());
    nothing.require_grad().backward();
}
