//! What can be wrong with a call.

use std::fmt;

/// A slice or a shape that does not fit. Nothing has been written when a kernel returns one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KernelError {
    /// A slice has another length than its shape says.
    Length {
        /// The argument.
        name: &'static str,
        /// What the shape asks for.
        expected: usize,
        /// What was passed.
        actual: usize,
    },
    /// A dimension, kernel size or stride of zero, or one beyond what the kernel can do.
    Dimension {
        /// The field of the shape.
        name: &'static str,
        /// Its value.
        value: usize,
        /// What is allowed.
        expected: &'static str,
    },
    /// The window does not fit into the padded input.
    Window {
        /// Height or width of the window.
        window: usize,
        /// Height or width of the input with its padding.
        padded: usize,
    },
    /// A number outside its range.
    Value {
        /// The argument.
        name: &'static str,
        /// Its value, as text.
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
                    "`{name}` has {actual} elements where its shape asks for {expected}; pass the whole tensor, contiguous"
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
                    "a window of {window} does not fit into an input of {padded} (padding included); use a smaller one or more padding"
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

/// Fails unless `slice` has `expected` elements.
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

/// Fails for a dimension of zero.
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

/// Product of dimensions, as long as twice as many bytes of floats fit into the address space.
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
