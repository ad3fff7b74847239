//! Filters that decorrelate the patches of an image (Jordan 2024, "94% on CIFAR-10 in 3.29 seconds
//! on a single GPU", arXiv:2404.00498, section 3.2; first used by Page 2018 in "How to train your
//! ResNet", part 8).

use rayon::prelude::*;

use crate::ImageShape;

/// Added to an eigenvalue before its square root, so that directions without variance are not
/// amplified.
const EPSILON: f64 = 5e-4;
/// Images that one thread sums up at a time. The division of the sum is fixed, so it does not
/// depend on the number of threads.
const IMAGES_PER_PART: usize = 64;

/// Returns the whitening filters of normalised images, `[2 n, channels, kernel, kernel]` with `n =
/// channels · kernel²`.
///
/// `images` is `[image, channel, row, column]` of `shape`. With the eigenvalues `λ` (in descending
/// order) and eigenvectors `v` of the second moments of all patches of `kernel` x `kernel` pixels,
/// filter `i` is `v_i / sqrt(λ_i + 5e-4)` and filter `n + i` its negative. The outputs of the first
/// `n` filters are uncorrelated and have unit second moment.
///
/// # Panics
/// If `images` is not a whole number of images of `shape`, or the kernel is larger than an image.
pub fn whitening_filters(images: &[f32], shape: ImageShape, kernel: usize) -> Vec<f32> {
    let size = shape.channels * kernel * kernel;
    let eigen = symmetric_eigen(patch_moments(images, shape, kernel), size);
    let rows = eigen.iter().flat_map(|(value, vector)| {
        let scale = 1.0 / (value.max(0.0) + EPSILON).sqrt();
        vector.iter().map(move |entry| (entry * scale) as f32)
    });
    let filters: Vec<f32> = rows.collect();
    let negatives: Vec<f32> = filters.iter().map(|weight| -weight).collect();
    [filters, negatives].concat()
}

/// Mean of the outer product of a patch with itself, row-major `[n, n]`. As in the original, the
/// mean patch is not subtracted: the images are normalised.
fn patch_moments(images: &[f32], shape: ImageShape, kernel: usize) -> Vec<f64> {
    assert!(
        images.len().is_multiple_of(shape.len()) && kernel <= shape.height.min(shape.width),
        "images of {shape} with patches of {kernel} x {kernel}"
    );
    let size = shape.channels * kernel * kernel;
    let (rows, columns) = (shape.height - kernel + 1, shape.width - kernel + 1);
    let parts: Vec<Vec<f64>> = images
        .par_chunks(IMAGES_PER_PART * shape.len())
        .map(|images| {
            let mut sums = vec![0.0; size * size];
            let mut patch = vec![0.0; size];
            for image in images.chunks_exact(shape.len()) {
                for position in 0..rows * columns {
                    read_patch(image, shape, kernel, position, columns, &mut patch);
                    for (sums, a) in sums.chunks_exact_mut(size).zip(&patch) {
                        for (sum, b) in sums.iter_mut().zip(&patch) {
                            *sum += a * b;
                        }
                    }
                }
            }
            sums
        })
        .collect();
    let count = (images.len() / shape.len() * rows * columns).max(1) as f64;
    let mut moments = vec![0.0; size * size];
    for part in parts {
        for (moment, sum) in moments.iter_mut().zip(part) {
            *moment += sum / count;
        }
    }
    moments
}

/// Copies the patch at a position, counted row by row, in the order of a filter's weights.
fn read_patch(
    image: &[f32],
    shape: ImageShape,
    kernel: usize,
    position: usize,
    columns: usize,
    patch: &mut [f64],
) {
    let first = position / columns * shape.width + position % columns;
    for (row, patch) in patch.chunks_exact_mut(kernel).enumerate() {
        let start = row / kernel * shape.plane() + first + row % kernel * shape.width;
        for (out, value) in patch.iter_mut().zip(&image[start..start + kernel]) {
            *out = f64::from(*value);
        }
    }
}

/// Eigenvalues in descending order with their unit eigenvectors, of a symmetric row-major matrix,
/// by Jacobi's cyclic method (Golub & Van Loan, "Matrix Computations", 4th edition, section 8.5).
fn symmetric_eigen(mut a: Vec<f64>, n: usize) -> Vec<(f64, Vec<f64>)> {
    let mut vectors = vec![0.0; n * n];
    (0..n).for_each(|i| vectors[i * n + i] = 1.0);
    let scale: f64 = a.iter().map(|v| v * v).sum();
    // The method converges quadratically: six sweeps suffice for a matrix of this size.
    for _sweep in 0..50 {
        let off_diagonal: f64 = (0..n)
            .flat_map(|p| (0..n).filter(move |&q| q != p).map(move |q| (p, q)))
            .map(|(p, q)| a[p * n + q] * a[p * n + q])
            .sum();
        if off_diagonal <= 1e-30 * scale {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                rotate(&mut a, &mut vectors, n, p, q);
            }
        }
    }
    let mut eigen: Vec<(f64, Vec<f64>)> = (0..n)
        .map(|i| (a[i * n + i], vectors[i * n..(i + 1) * n].to_vec()))
        .collect();
    eigen.sort_by(|(x, _), (y, _)| y.total_cmp(x));
    eigen
}

/// Makes the entry `(p, q)` zero by a rotation. The rows of `vectors` are the eigenvectors.
fn rotate(a: &mut [f64], vectors: &mut [f64], n: usize, p: usize, q: usize) {
    let apq = a[p * n + q];
    if apq == 0.0 {
        return;
    }
    let tau = (a[q * n + q] - a[p * n + p]) / (2.0 * apq);
    let t = if tau >= 0.0 {
        1.0 / (tau + (1.0 + tau * tau).sqrt())
    } else {
        -1.0 / (-tau + (1.0 + tau * tau).sqrt())
    };
    let c = 1.0 / (1.0 + t * t).sqrt();
    let s = t * c;
    let turn = |x: f64, y: f64| (c * x - s * y, s * x + c * y);
    for k in 0..n {
        (a[k * n + p], a[k * n + q]) = turn(a[k * n + p], a[k * n + q]);
    }
    for k in 0..n {
        (a[p * n + k], a[q * n + k]) = turn(a[p * n + k], a[q * n + k]);
    }
    for k in 0..n {
        (vectors[p * n + k], vectors[q * n + k]) = turn(vectors[p * n + k], vectors[q * n + k]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The matrix [[2, 1], [1, 2]] has the eigenvalues 3 and 1 with the vectors (1, ±1) / √2.
    #[test]
    fn eigenvectors_match_a_hand_computed_example() {
        let eigen = symmetric_eigen(vec![2.0, 1.0, 1.0, 2.0], 2);
        let root = 0.5f64.sqrt();
        assert!((eigen[0].0 - 3.0).abs() < 1e-15 && (eigen[1].0 - 1.0).abs() < 1e-15);
        assert!((eigen[0].1[0] * eigen[0].1[1] - root * root).abs() < 1e-15);
        assert!((eigen[1].1[0] * eigen[1].1[1] + root * root).abs() < 1e-15);
    }

    fn images(shape: ImageShape, count: usize) -> Vec<f32> {
        // Neighbouring pixels are correlated.
        let value = |i: usize| ((i as f32 * 0.13).sin() + (i as f32 * 0.71).cos()) / 2.0;
        (0..count * shape.len()).map(value).collect()
    }

    /// The outputs of the filters have the second moments `λ / (λ + ε)` on the diagonal and 0
    /// beside it.
    #[test]
    fn outputs_are_uncorrelated() {
        let (shape, kernel) = (ImageShape::new(3, 9, 8), 2);
        let images = images(shape, 200);
        let filters = whitening_filters(&images, shape, kernel);
        let size = 12;
        assert_eq!(filters.len(), 2 * size * size);
        let moments = patch_moments(&images, shape, kernel);
        let filter = |i: usize| &filters[i * size..(i + 1) * size];
        for i in 0..size {
            for j in 0..size {
                let mut moment = 0.0;
                for (p, a) in filter(i).iter().enumerate() {
                    for (q, b) in filter(j).iter().enumerate() {
                        moment += f64::from(*a) * moments[p * size + q] * f64::from(*b);
                    }
                }
                if i == j {
                    assert!(moment < 1.0 + 1e-5, "{moment}");
                } else {
                    assert!(moment.abs() < 1e-4, "{i} {j}: {moment}");
                }
            }
            let negative = filter(size + i).iter().zip(filter(i));
            assert!(negative.into_iter().all(|(a, b)| *a == -b));
        }
        // The direction with most variance is whitened almost completely.
        let strongest = filter(0).iter().enumerate().flat_map(|(p, a)| {
            let row = &moments[p * size..];
            filter(0)
                .iter()
                .enumerate()
                .map(move |(q, b)| f64::from(*a) * row[q] * f64::from(*b))
        });
        assert!((strongest.sum::<f64>() - 1.0).abs() < 0.01);
    }

    /// A patch has the order of a filter's weights: channel, row, column.
    #[test]
    fn patches_have_the_order_of_weights() {
        let shape = ImageShape::new(2, 2, 3);
        let image: Vec<f32> = (0..12).map(|i| i as f32).collect();
        let mut patch = vec![0.0; 8];
        read_patch(&image, shape, 2, 1, 2, &mut patch);
        assert_eq!(patch, [1.0, 2.0, 4.0, 5.0, 7.0, 8.0, 10.0, 11.0]);
    }
}
