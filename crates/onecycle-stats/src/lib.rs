//! Why a training goes well or badly: how noisy its gradients are, how sharp the minimum is that it stands in.
//!
//! Each function takes gradients, losses or products that somebody else computed, as plain slices or through a closure;
//! a network is a vector of weights here. Costs are counted in gradient evaluations: one forward and backward pass over
//! the images that the loss is the mean of.
//!
//! | what | formula | source | cost |
//! |---|---|---|---|
//! | [`GradientNoise`] | `\|G\|²`, `tr Σ`, `tr Σ / \|G\|²`, by two batch sizes or by the variance over micro-batches | McCandlish et al. 2018, section 2.2 and appendix A.1 | one pass over the micro-batches |
//! | [`lr_per_sample`] | `lr / B` | Jastrzębski et al. 2017, section 2.2 | none |
//! | [`sgd_temperature`] | `lr N / (B (1 - m))` | Smith & Le 2018; Smith et al. 2018, section 3 | none |
//! | [`lanczos`] | largest and smallest eigenvalues of the Hessian | Golub & Van Loan, section 10.1 | a product a step |
//! | [`epsilon_sharpness`] | `100 (max f(x + z) - f(x)) / (1 + f(x))` over a box | Keskar et al. 2017, metric 2.1 | a gradient a step, and one more |
//! | [`filter_normalise`] | `d ← d ‖θ‖ / ‖d‖`, filter by filter | Li et al. 2018, section 4 | a loss a point of the slice |
//! | [`SampleMean`] | mean and its 95 % interval, `mean ± t s / √n`; paired differences | Student 1908 | none |
//!
//! An estimate that is not to be trusted says so by its verdict.
//!
//! ```
//! use onecycle_stats::{Converged, Spectrum, StatsError, lanczos};
//!
//! // The Hessian of 2 x² + y² / 2 at any point.
//! let product = |v: &[f64]| -> Result<Vec<f64>, StatsError> { Ok(vec![4.0 * v[0], v[1]]) };
//! let spectrum = lanczos(&[1.0, 1.0], &Spectrum::largest(1), product)?;
//! assert_eq!(spectrum.verdict, Converged::Yes);
//! assert!((spectrum.eigenvalues[0].value - 4.0).abs() < 1e-12);
//! # Ok::<(), StatsError>(())
//! ```

mod check;
mod error;
mod lanczos;
mod mean;
mod noise;
mod sharpness;
mod slices;
mod temperature;
mod tridiagonal;
mod vector;

pub use error::StatsError;
pub use lanczos::{Converged, Curvature, Eigenvalue, Spectrum, lanczos};
pub use mean::{SampleMean, Sign, student_t};
pub use noise::{Estimate, GradientNoise, NoiseScale, NoiseVerdict, two_batch_sizes};
pub use sharpness::{Ascent, EpsilonSharpness, SharpnessVerdict, epsilon_sharpness};
pub use slices::{Block, filter_normalise, moved, slice_points};
pub use temperature::{lr_per_sample, sgd_temperature};
