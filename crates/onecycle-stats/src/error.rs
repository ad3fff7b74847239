/// Why a statistic cannot be computed. Every variant carries the offending value.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StatsError {
    /// An argument or a computed value is NaN or infinite.
    #[error("`{name}` is {value}: expected a finite number")]
    NotFinite {
        /// Name of the argument or value.
        name: &'static str,
        /// Its value.
        value: f64,
    },
    /// An argument is negative but must not be.
    #[error("`{name}` is {value}: expected a number of at least 0")]
    Negative {
        /// Name of the argument.
        name: &'static str,
        /// Its value.
        value: f64,
    },
    /// An argument lies outside its range.
    #[error("`{name}` is {value}: expected {expected}")]
    OutOfRange {
        /// Name of the argument.
        name: &'static str,
        /// Its value.
        value: f64,
        /// The range in words.
        expected: &'static str,
    },
    /// A vector or list has the wrong number of entries.
    #[error("`{name}` has {found} entries: expected {expected}")]
    Count {
        /// Name of the vector or list.
        name: &'static str,
        /// Entries found.
        found: usize,
        /// Entries expected.
        expected: usize,
    },
}
