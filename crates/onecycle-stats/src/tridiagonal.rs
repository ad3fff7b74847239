/// Maximum number of iterations per eigenvalue. Two or three are usual; LAPACK also allows 30.
const MOST_TURNS: usize = 30;

/// Eigenvalues of a symmetric tridiagonal matrix, each with the last entry of its normalised
/// eigenvector, in no particular order.
///
/// `diagonal` has n entries, `off` the n - 1 entries next to the diagonal. Implicit QL with
/// Wilkinson's shift: Bowdler, Martin, Reinsch & Wilkinson, "The QR and QL algorithms for symmetric
/// matrices" (1968), EISPACK's `tql2` with only one row of the eigenvectors. Returns `None` if an
/// eigenvalue does not converge, which has not been observed for finite entries.
pub(crate) fn eigenvalues(diagonal: &[f64], off: &[f64]) -> Option<Vec<(f64, f64)>> {
    let n = diagonal.len();
    let mut d = diagonal.to_vec();
    let mut e = off.to_vec();
    e.resize(n, 0.0);
    let mut last = vec![0.0; n];
    *last.last_mut()? = 1.0;
    for l in 0..n {
        let mut turns = 0;
        loop {
            // The block from l ends where the off-diagonal entry is negligible next to the
            // diagonal.
            let end = (l..n - 1).find(|&m| {
                let around = d[m].abs() + d[m + 1].abs();
                e[m].abs() <= f64::EPSILON * around
            });
            let m = end.unwrap_or(n - 1);
            if m == l {
                break;
            }
            if turns == MOST_TURNS {
                return None;
            }
            turns += 1;
            turn(&mut d, &mut e, &mut last, l, m);
        }
    }
    Some(d.into_iter().zip(last).collect())
}

/// One QL sweep of rotations over the block from `l` to `m`.
fn turn(d: &mut [f64], e: &mut [f64], last: &mut [f64], l: usize, m: usize) {
    let half = (d[l + 1] - d[l]) / (2.0 * e[l]);
    let r = half.hypot(1.0);
    let signed = if half < 0.0 { half - r } else { half + r };
    let mut g = d[m] - d[l] + e[l] / signed;
    let (mut s, mut c, mut p) = (1.0, 1.0, 0.0);
    for i in (l..m).rev() {
        let (f, b) = (s * e[i], c * e[i]);
        let r = f.hypot(g);
        e[i + 1] = r;
        if r == 0.0 {
            // The block splits here.
            d[i + 1] -= p;
            e[m] = 0.0;
            return;
        }
        s = f / r;
        c = g / r;
        g = d[i + 1] - p;
        let t = (d[i] - g) * s + 2.0 * c * b;
        p = s * t;
        d[i + 1] = g + p;
        g = c * t - b;
        let (above, below) = (last[i], last[i + 1]);
        last[i + 1] = s * above + c * below;
        last[i] = c * above - s * below;
    }
    d[l] -= p;
    e[l] = g;
    e[m] = 0.0;
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use std::f64::consts::PI;

    /// 2 on the diagonal and -1 beside it: eigenvalue `2 - 2 cos(k π / (n + 1))`, whose vector ends
    /// in `√(2 / (n + 1)) sin(n k π / (n + 1))`.
    #[test]
    fn the_second_difference() {
        for n in [1, 2, 3, 10, 64] {
            let mut found = eigenvalues(&vec![2.0; n], &vec![-1.0; n - 1]).unwrap();
            found.sort_by(|a, b| a.0.total_cmp(&b.0));
            for (k, (value, last)) in (1..).zip(found) {
                let angle = f64::from(k) * PI / (n as f64 + 1.0);
                let known = 2.0 - 2.0 * angle.cos();
                assert!((value - known).abs() < 1e-13, "{n}, {k}: {value}");
                let end = (2.0 / (n as f64 + 1.0)).sqrt() * (n as f64 * angle).sin();
                assert!((last.abs() - end.abs()).abs() < 1e-12, "{n}, {k}: {last}");
            }
        }
    }

    #[test]
    fn a_diagonal_matrix_is_its_own_answer() {
        let found = eigenvalues(&[3.0, -1.0, 0.0], &[0.0, 0.0]).unwrap();
        assert_eq!(found, [(3.0, 0.0), (-1.0, 0.0), (0.0, 1.0)]);
        assert_eq!(eigenvalues(&[], &[]), None);
    }

    #[test]
    fn not_finite_ends_too() {
        assert!(eigenvalues(&[f64::NAN; 4], &[f64::NAN; 3]).is_none());
    }
}
