//! The crate's error type, and checks that return it.

use std::fmt;

/// A shape, slice length or number that a kernel cannot accept. A kernel that returns an error has
/// not written anything.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KernelError {
    /// The length of a slice differs from its shape.
    Length {
        /// The argument.
        name: &'static str,
        /// Length according to the shape.
        expected: usize,
        /// Length of the slice.
        actual: usize,
    },
    /// A dimension, kernel size or stride is zero or too large.
    Dimension {
        /// The field of the shape.
        name: &'static str,
        /// Its value.
        value: usize,
        /// What is allowed.
        expected: &'static str,
    },
    /// The window is larger than the padded input.
    Window {
        /// Height or width of the window.
        window: usize,
        /// Height or width of the input including padding.
        padded: usize,
    },
    /// A number is outside of its range.
    Value {
        /// The argument.
        name: &'static str,
        /// Its value as text.
        value: String,
        /// What is allowed.
        expected: &'static str,
    },
}

impl fmt::Display for KernelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length {
                name,
                expected,
                actual,
            } => {
                write!(
                    f,
                    "`{name}` has {actual} elements, but its shape requires {expected}; \
                     pass the whole tensor as a contiguous slice"
                )
            }
            Self::Dimension {
                name,
                value,
                expected,
            } => write!(f, "`{name}` is {value}; expected {expected}"),
            Self::Window { window, padded } => {
                write!(
                    f,
                    "the window size {window} exceeds the input size {padded} (including padding); \
                     use a smaller window or more padding"
                )
            }
            Self::Value {
                name,
                value,
                expected,
            } => write!(f, "`{name}` is {value}; expected {expected}"),
        }
    }
}

impl std::error::Error for KernelError {}

/// Returns an error unless `slice` has `expected` elements.
pub(crate) fn check_len<T>(
    name: &'static str,
    slice: &[T],
    expected: usize,
) -> Result<(), KernelError> {
    if slice.len() == expected {
        Ok(())
    } else {
        Err(KernelError::Length {
            name,
            expected,
            actual: slice.len(),
        })
    }
}

/// Returns an error if a dimension is zero.
pub(crate) fn check_positive(name: &'static str, value: usize) -> Result<(), KernelError> {
    if value > 0 {
        Ok(())
    } else {
        Err(KernelError::Dimension {
            name,
            value,
            expected: "at least 1",
        })
    }
}

/// The product of dimensions, if twice that many floats fit into the address space.
pub(crate) fn checked_size(name: &'static str, dimensions: &[usize]) -> Result<usize, KernelError> {
    let size = dimensions
        .iter()
        .try_fold(1usize, |size, &d| size.checked_mul(d));
    match size {
        Some(size) if size <= isize::MAX as usize / 8 => Ok(size),
        _ => Err(KernelError::Dimension {
            name,
            value: usize::MAX,
            expected: "a tensor that fits into memory",
        }),
    }
}
