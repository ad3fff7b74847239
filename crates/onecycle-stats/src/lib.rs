//! Statistics of neural-network training over plain vectors and closures: confidence intervals over
//! seeds, gradient noise, the sharpness of minima, and measures of a classifier.
//!
//! Use it to decide whether one policy is better than another ([`SampleMean`]), which batch size is
//! large enough ([`GradientNoise`]), and how sharp a minimum is ([`lanczos`],
//! [`epsilon_sharpness`]), on which classes a classifier fails ([`ConfusionMatrix`]), and whether its
//! probabilities are right ([`Reliability`]).
//!
//! ```toml
//! [dependencies]
//! onecycle-stats = { path = "../onecycle/crates/onecycle-stats" }
//!
//! # Cargo's default profile does not optimise. This optimises all dependencies.
//! [profile.dev.package."*"]
//! opt-level = 3
//! ```
//!
//! There is no tensor type. A network is a vector of weights; gradients, losses and Hessian-vector
//! products come from the caller, as slices or through a closure. Costs are counted in gradient
//! evaluations: one forward and one backward pass over the images in the loss.
//!
//! | item | formula | source | cost |
//! |---|---|---|---|
//! | [`GradientNoise`] | `\|G\|²`, `tr Σ`, `tr Σ / \|G\|²`, from two batch sizes or from the variance over micro-batches | McCandlish et al. 2018, section 2.2 and appendix A.1 | one pass over the micro-batches |
//! | [`lr_per_sample`] | `lr / B` | Jastrzębski et al. 2017, section 2.2 | none |
//! | [`sgd_temperature`] | `lr N / (B (1 - m))` | Smith & Le 2018; Smith et al. 2018, section 3 | none |
//! | [`lanczos`] | largest and smallest eigenvalues of the Hessian | Golub & Van Loan, section 10.1 | one product per iteration |
//! | [`epsilon_sharpness`] | `100 (max f(x + z) - f(x)) / (1 + f(x))` over a box | Keskar et al. 2017, metric 2.1 | one gradient per step, plus one |
//! | [`filter_normalise`] | `d ← d ‖θ‖ / ‖d‖` for each filter | Li et al. 2018, section 4 | one loss per point of the slice |
//! | [`ConfusionMatrix`] | precision, recall, F1, balanced accuracy, macro F1 | as in scikit-learn | none |
//! | [`Reliability`] | bins of confidence and accuracy, expected calibration error | Guo et al. 2017, equation 3 | none |
//! | [`SampleMean`] | mean with its 95 % interval `mean ± t s / √n`, paired differences | Student 1908 | none |
//!
//! Each estimate carries a verdict that says whether it can be trusted. Wrong input is a
//! [`StatsError`] with the offending value.
//!
//! ```
//! use onecycle_stats::{Converged, SampleMean, Sign, Spectrum, StatsError, lanczos};
//!
//! // Is the new policy better than the old one? Three seeds each, paired by seed.
//! let (new, old) = ([0.917, 0.921, 0.919], [0.911, 0.916, 0.912]);
//! let difference = SampleMean::of_difference(&new, &old).unwrap();
//! assert_eq!(difference.to_string(), "0.0060 (0.0035 to 0.0085, n = 3)");
//! assert_eq!(difference.sign(), Sign::Above);
//!
//! // The Hessian of 2 x² + y² / 2 at any point.
//! let product = |v: &[f64]| -> Result<Vec<f64>, StatsError> { Ok(vec![4.0 * v[0], v[1]]) };
//! let spectrum = lanczos(&[1.0, 1.0], &Spectrum::largest(1), product)?;
//! assert_eq!(spectrum.verdict, Converged::Yes);
//! assert!((spectrum.eigenvalues[0].value - 4.0).abs() < 1e-12);
//! # Ok::<(), StatsError>(())
//! ```

/// Runs the example of the README as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod calibration;
mod check;
mod classification;
mod error;
mod lanczos;
mod mean;
mod noise;
mod sharpness;
mod slices;
mod temperature;
mod tridiagonal;
mod vector;

pub use calibration::{Reliability, ReliabilityBin};
pub use classification::{ClassScore, ConfusionMatrix};
pub use error::StatsError;
pub use lanczos::{Converged, Curvature, Eigenvalue, Spectrum, lanczos};
pub use mean::{SampleMean, Sign, student_t};
pub use noise::{Estimate, GradientNoise, NoiseScale, NoiseVerdict, two_batch_sizes};
pub use sharpness::{Ascent, EpsilonSharpness, SharpnessVerdict, epsilon_sharpness};
pub use slices::{Block, filter_normalise, moved, slice_points};
pub use temperature::{lr_per_sample, sgd_temperature};
