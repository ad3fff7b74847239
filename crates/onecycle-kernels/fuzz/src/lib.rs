//! Arguments that the targets have in common.

use arbitrary::Arbitrary;
use onecycle_kernels::KernelError;

/// Mostly small, for shapes that fit must be found; sometimes anything.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Size {
    Tiny(u8),
    Small(u8),
    Medium(u8),
    Any(usize),
}

impl Size {
    /// The number.
    pub fn get(self) -> usize {
        match self {
            Size::Tiny(x) => usize::from(x % 8),
            Size::Small(x) => usize::from(x % 40),
            Size::Medium(x) => usize::from(x),
            Size::Any(x) => x,
        }
    }
}

/// Of a slice, where `len` fits: mostly that.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Length {
    Right,
    AlsoRight,
    OneLess,
    OneMore,
    Any(u8),
}

impl Length {
    /// The length to pass.
    pub fn of(self, len: usize) -> usize {
        match self {
            Length::Right | Length::AlsoRight => len,
            Length::OneLess => len.saturating_sub(1),
            Length::OneMore => len + 1,
            Length::Any(x) => usize::from(x),
        }
    }
}

/// A call succeeds exactly if all its slices fit.
pub fn assert_refused_unless(fit: bool, result: Result<(), KernelError>) {
    assert_eq!(result.is_ok(), fit, "{result:?}");
}
