//! What the tests of this workspace share. It depends on none of the other crates.
//!
//! A *golden* is a file of numbers that another program computed: PyTorch, optax, fastai, or one of
//! the learning-rate finders. Goldens lie in `tests/goldens/` of the crate that is tested, as
//! gzip-compressed JSON, and are read with [`golden()`]. The scripts in `scripts/goldens/` write them.
//!
//! ```
//! use onecycle_test_support::{Tolerance, assert_series, numbers};
//!
//! let golden = serde_json::json!({ "lr": [0.1, 0.2, "nan"] });
//! let computed = [0.1, 0.2, f64::NAN];
//! assert_series("lr", &computed, &numbers(&golden["lr"]), Tolerance::Ulps(0));
//! ```

mod golden;
mod series;

pub use golden::{golden, golden_as, list, number, numbers, text};
pub use series::{Deviations, Tolerance, assert_series};
