//! What the fuzz targets share: generators of arguments, and the property that every call must
//! satisfy.

use arbitrary::Arbitrary;
use onecycle_kernels::{Isa, KernelError, Kernels};

/// A dimension: mostly small, so that valid shapes are likely, sometimes arbitrary.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Size {
    Tiny(u8),
    Small(u8),
    Medium(u8),
    Any(usize),
}

impl Size {
    /// The value.
    pub fn get(self) -> usize {
        match self {
            Size::Tiny(x) => usize::from(x % 8),
            Size::Small(x) => usize::from(x % 40),
            Size::Medium(x) => usize::from(x),
            Size::Any(x) => x,
        }
    }
}

/// The length of a slice: mostly the right one.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Length {
    Right,
    AlsoRight,
    OneLess,
    OneMore,
    Any(u8),
}

impl Length {
    /// The length to pass if `len` is right.
    pub fn of(self, len: usize) -> usize {
        match self {
            Length::Right | Length::AlsoRight => len,
            Length::OneLess => len.saturating_sub(1),
            Length::OneMore => len + 1,
            Length::Any(x) => usize::from(x),
        }
    }
}

/// Kernels for each instruction set of this machine.
pub fn all_kernels() -> impl Iterator<Item = Kernels> {
    let available = Isa::ALL.into_iter().filter(|isa| isa.is_available());
    available.map(Kernels::with_isa)
}

/// Checks that a call succeeds exactly if all its slices have the right length.
pub fn assert_ok_if(right: bool, result: Result<(), KernelError>) {
    assert_eq!(result.is_ok(), right, "{result:?}");
}
