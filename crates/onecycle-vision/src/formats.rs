//! The file formats of the published sets.

pub(crate) mod cifar;
pub(crate) mod idx;
pub(crate) mod mnist;
