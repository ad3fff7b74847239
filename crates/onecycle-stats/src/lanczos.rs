use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    StatsError, check, tridiagonal,
    vector::{add, dot, norm, scaled},
};

/// What [`lanczos`] searches for, and how long.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spectrum {
    /// Number of largest eigenvalues to find, at least 1.
    pub eigenvalues: usize,
    /// Maximum number of matrix-vector products, at least `eigenvalues`.
    pub products: usize,
    /// Residual at which an eigenvalue counts as found, relative to the largest eigenvalue in
    /// magnitude. Below 1e-3 it is not worth the products if these are finite differences in single
    /// precision.
    pub tolerance: f64,
}

impl Spectrum {
    /// The `eigenvalues` largest ones to within 1 %, with at most `10 + 10 * eigenvalues` products.
    pub fn largest(eigenvalues: usize) -> Self {
        Spectrum {
            eigenvalues,
            products: 10 + 10 * eigenvalues,
            tolerance: 0.01,
        }
    }

    fn check(&self) -> Result<(), StatsError> {
        let (wanted, products) = (self.eigenvalues as f64, self.products as f64);
        check::ensure(wanted >= 1.0, "eigenvalues", wanted, "at least 1")?;
        check::ensure(
            products >= wanted,
            "products",
            products,
            "at least as many as eigenvalues",
        )?;
        check::positive("tolerance", self.tolerance)
    }
}

/// Eigenvalues at the two ends of a symmetric matrix's spectrum.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Curvature {
    /// The largest eigenvalues in decreasing order. Fewer than requested if the start vector has no
    /// component along more eigenvectors.
    pub eigenvalues: Vec<Eigenvalue>,
    /// The smallest eigenvalue; negative if the loss also curves downwards. The iteration does not
    /// wait for it to converge: check its residual.
    pub smallest: Eigenvalue,
    /// Number of matrix-vector products computed.
    pub products: usize,
    /// Whether all requested eigenvalues converged.
    pub verdict: Converged,
}

/// An eigenvalue with a bound on its error.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Eigenvalue {
    /// The approximation (Ritz value).
    pub value: f64,
    /// `‖A v - value v‖` for the unit Ritz vector `v`: some eigenvalue lies within `residual` of
    /// `value`.
    pub residual: f64,
}

/// Whether an iteration converged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Converged {
    /// Every requested eigenvalue was found to within the tolerance.
    Yes,
    /// The products were used up first: the eigenvalues are lower bounds.
    No,
}

impl fmt::Display for Converged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Converged::Yes => "ok",
            Converged::No => "not converged",
        })
    }
}

/// The largest eigenvalues of a symmetric matrix that is known only by its products with vectors.
/// Lanczos' algorithm with full reorthogonalisation: Golub & Van Loan, "Matrix Computations" (4th
/// edition, 2013), sections 10.1 and 10.3.
///
/// ```text
/// β q' = A q - α q - β_before q_before,   α = q · A q
/// ```
///
/// The eigenvalues of the tridiagonal matrix of α and β approach those of `A` from within, the
/// outermost first. The residual `|β_last s_last|` bounds the error of each. A multiple eigenvalue
/// is found once. An eigenvalue whose eigenvector is orthogonal to `start` is not found at all, so
/// pass a random start vector.
///
/// Cost: one product per iteration, usually 10 to 30, and memory for as many vectors.
///
/// # Errors
/// Returns the errors of `product`, and a [`StatsError`] if `start` is zero or not finite, if a
/// product has another length than `start` or is not finite, or if an option is out of range.
pub fn lanczos<E: From<StatsError>>(
    start: &[f64],
    spectrum: &Spectrum,
    mut product: impl FnMut(&[f64]) -> Result<Vec<f64>, E>,
) -> Result<Curvature, E> {
    spectrum.check()?;
    check::vector("start", start, start.len())?;
    let length = norm(start);
    check::positive("length of the start vector", length)?;
    let mut basis: Vec<Vec<f64>> = vec![scaled(start, 1.0 / length)];
    let (mut alpha, mut beta) = (Vec::new(), Vec::new());
    // Largest entry of the tridiagonal matrix: the scale at which a new direction counts as zero.
    let mut magnitude = 0.0_f64;
    loop {
        let newest = &basis[basis.len() - 1];
        let mut next = product(newest)?;
        check::vector("product", &next, start.len())?;
        let a = dot(newest, &next);
        alpha.push(a);
        // Orthogonalising twice is enough (Parlett, "The Symmetric Eigenvalue Problem", section
        // 6.9).
        for _ in 0..2 {
            for q in &basis {
                let part = dot(q, &next);
                add(&mut next, -part, q);
            }
        }
        let b = norm(&next);
        magnitude = magnitude.max(a.abs()).max(b);
        // The Krylov space is invariant, so its eigenvalues are exact.
        let closed = b <= 1e-13 * magnitude || basis.len() == start.len();
        let b = if closed { 0.0 } else { b };
        let found = ritz(&alpha, &beta, b, spectrum);
        let found = found.ok_or(StatsError::NotFinite {
            name: "eigenvalue",
            value: f64::NAN,
        })?;
        let done = found.verdict == Converged::Yes;
        if done || closed || alpha.len() == spectrum.products {
            return Ok(found);
        }
        beta.push(b);
        basis.push(scaled(&next, 1.0 / b));
    }
}

/// Ritz values from the current tridiagonal matrix; `b` is the coupling to the unexplored space.
fn ritz(alpha: &[f64], beta: &[f64], b: f64, spectrum: &Spectrum) -> Option<Curvature> {
    let mut all = tridiagonal::eigenvalues(alpha, beta)?;
    all.sort_by(|x, y| y.0.total_cmp(&x.0));
    let eigenvalue = |(value, last): &(f64, f64)| Eigenvalue {
        value: *value,
        residual: (b * last).abs(),
    };
    let largest = all.iter().map(|(value, _)| value.abs()).fold(0.0, f64::max);
    let smallest = eigenvalue(all.last()?);
    let eigenvalues: Vec<Eigenvalue> = all
        .iter()
        .take(spectrum.eigenvalues)
        .map(eigenvalue)
        .collect();
    let sure = |one: &Eigenvalue| one.residual <= spectrum.tolerance * largest;
    let all_seen = eigenvalues.len() == spectrum.eigenvalues || b == 0.0;
    Some(Curvature {
        verdict: match all_seen && eigenvalues.iter().all(sure) {
            true => Converged::Yes,
            false => Converged::No,
        },
        eigenvalues,
        smallest,
        products: alpha.len(),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    type Product = Result<Vec<f64>, StatsError>;

    /// A diagonal matrix seen through a reflection, `H D H` with `H = I - 2 u uᵀ`.
    fn reflected(diagonal: &[f64]) -> impl Fn(&[f64]) -> Product {
        let n = diagonal.len();
        let u: Vec<f64> = (0..n).map(|i| 1.0 + (i % 7) as f64).collect();
        let u = scaled(&u, 1.0 / norm(&u));
        let diagonal = diagonal.to_vec();
        move |v| {
            let reflect = |v: &[f64]| {
                let mut w = v.to_vec();
                add(&mut w, -2.0 * dot(&u, v), &u);
                w
            };
            let w: Vec<f64> = reflect(v)
                .iter()
                .zip(&diagonal)
                .map(|(v, d)| v * d)
                .collect();
            Ok(reflect(&w))
        }
    }

    fn start(n: usize) -> Vec<f64> {
        (0..n)
            .map(|i| ((i * i) as f64 * 0.37).sin() + 0.1)
            .collect()
    }

    #[test]
    fn the_whole_spectrum_of_a_small_matrix() {
        let known = [5.0, 3.0, 1.0, 0.0, -0.5, -4.0];
        let all = Spectrum {
            eigenvalues: 6,
            products: 6,
            tolerance: 1e-9,
        };
        let found = lanczos(&start(6), &all, reflected(&known)).unwrap();
        assert_eq!((found.products, found.verdict), (6, Converged::Yes));
        for (one, known) in found.eigenvalues.iter().zip(known) {
            assert!((one.value - known).abs() < 1e-12, "{one:?} for {known}");
        }
        assert_eq!(found.smallest, found.eigenvalues[5]);
    }

    #[test]
    fn the_top_of_a_large_one_within_its_residual() {
        let mut known: Vec<f64> = (0..400).map(|i| f64::from(i) / 400.0).collect();
        known.extend([30.0, 12.0, 9.0]);
        let found = lanczos(&start(403), &Spectrum::largest(3), reflected(&known)).unwrap();
        assert_eq!(found.verdict, Converged::Yes);
        assert!(found.products < 40, "{}", found.products);
        for (one, known) in found.eigenvalues.iter().zip([30.0, 12.0, 9.0]) {
            assert!((one.value - known).abs() <= one.residual + 1e-12, "{one:?}");
            assert!(one.residual <= 0.3);
        }
    }

    #[test]
    fn too_few_products_say_so_and_stay_below() {
        let known: Vec<f64> = (0..500).map(|i| f64::from(i) / 500.0).collect();
        let few = Spectrum {
            eigenvalues: 2,
            products: 5,
            tolerance: 1e-3,
        };
        let found = lanczos(&start(500), &few, reflected(&known)).unwrap();
        assert_eq!((found.products, found.verdict), (5, Converged::No));
        assert!(found.eigenvalues[0].value < known[499]);
    }

    /// The identity has a single eigenvalue, whatever its dimension.
    #[test]
    fn a_space_that_closes_early() {
        let identity = |v: &[f64]| -> Product { Ok(v.to_vec()) };
        let found = lanczos(&start(9), &Spectrum::largest(4), identity).unwrap();
        assert_eq!((found.products, found.eigenvalues.len()), (1, 1));
        assert!((found.eigenvalues[0].value - 1.0).abs() < 1e-12);
        assert_eq!(found.verdict, Converged::Yes);
        let zero = |v: &[f64]| -> Product { Ok(scaled(v, 0.0)) };
        let found = lanczos(&start(9), &Spectrum::largest(1), zero).unwrap();
        assert_eq!(found.eigenvalues[0].value, 0.0);
    }

    #[test]
    fn wrong_input_is_named() {
        let identity = |v: &[f64]| -> Product { Ok(v.to_vec()) };
        let largest = Spectrum::largest(1);
        assert!(lanczos(&[0.0; 3], &largest, identity).is_err());
        assert!(lanczos(&[], &largest, identity).is_err());
        assert!(lanczos(&[f64::NAN], &largest, identity).is_err());
        assert!(lanczos(&[1.0], &Spectrum::largest(0), identity).is_err());
        let short = |_: &[f64]| -> Product { Ok(Vec::new()) };
        assert!(matches!(
            lanczos(&[1.0, 2.0], &largest, short),
            Err(StatsError::Count {
                found: 0,
                expected: 2,
                ..
            })
        ));
        let broken = |v: &[f64]| -> Product { Ok(scaled(v, f64::INFINITY)) };
        assert!(lanczos(&[1.0, 2.0], &largest, broken).is_err());
    }
}
