//! Integers of any type as counts, so that `data.len()` and a literal need no conversion.

/// A number of steps, samples or batches: `usize`, `u64`, `u32`, or `i32` (the type of a literal).
///
/// A negative number counts as 0, which is an error wherever at least 1 is required.
pub trait Count: sealed::Count {}

/// A number of epochs: whole or fractional, in any type of [`Count`] or as `f64`.
pub trait EpochCount: sealed::EpochCount {}

pub(crate) mod sealed {
    pub trait Count: Copy {
        fn count(self) -> u64;
    }

    pub trait EpochCount: Copy {
        fn epochs(self) -> f64;
    }
}

macro_rules! counts {
    ($($integer:ty),*) => {$(
        impl Count for $integer {}
        impl EpochCount for $integer {}

        impl sealed::Count for $integer {
            #[inline]
            fn count(self) -> u64 {
                u64::try_from(self).unwrap_or(0)
            }
        }

        impl sealed::EpochCount for $integer {
            fn epochs(self) -> f64 {
                self as f64
            }
        }
    )*};
}

counts!(usize, u64, u32, i32);

impl EpochCount for f64 {}

impl sealed::EpochCount for f64 {
    fn epochs(self) -> f64 {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::sealed::{Count, EpochCount};

    #[test]
    fn counts_of_all_types_are_equal() {
        assert_eq!(
            [7_usize.count(), 7_u64.count(), 7_u32.count(), 7.count()],
            [7; 4]
        );
        assert_eq!((-7).count(), 0);
        assert_eq!((7.epochs(), 0.5.epochs(), (-1).epochs()), (7.0, 0.5, -1.0));
    }
}
