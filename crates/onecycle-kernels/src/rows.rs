//! A factor for each row of a matrix: how a convolution's weights take the scale of a batch norm that
//! is folded into them, with a row per output channel.

use crate::error::{KernelError, check_len};
use crate::kernels::Kernels;
use crate::parallel::for_chunks;

/// Floats per chunk of work.
const CHUNK: usize = 1 << 14;

/// # Factors of rows
impl Kernels {
    /// Computes `output[r][i] = factors[r] input[r][i]` for matrices `[factors.len(), columns]`, where
    /// the length of `input` determines the columns.
    ///
    /// # Errors
    /// `output` differs in length from `input`, or `factors` does not divide it.
    pub fn scale_rows(
        &self,
        factors: &[f32],
        input: &[f32],
        output: &mut [f32],
    ) -> Result<(), KernelError> {
        let columns = columns(("factors", factors), ("input", input))?;
        check_len("output", output, input.len())?;
        let rows = (CHUNK / columns).max(1);
        for_chunks(output, rows * columns, |index, output| {
            let first = index * rows;
            let inputs = input[first * columns..].chunks_exact(columns);
            let matrix = output.chunks_exact_mut(columns).zip(inputs);
            for ((output, input), factor) in matrix.zip(&factors[first..]) {
                for (y, x) in output.iter_mut().zip(input) {
                    *y = factor * x;
                }
            }
        });
        Ok(())
    }

    /// Computes `products[r] = Σ first[r][i] second[r][i]`, summed in double precision, for matrices
    /// `[products.len(), columns]`: the gradient of the factors of [`scale_rows`](Self::scale_rows).
    ///
    /// # Errors
    /// The matrices differ in length, or `products` does not divide it.
    pub fn row_products(
        &self,
        first: &[f32],
        second: &[f32],
        products: &mut [f32],
    ) -> Result<(), KernelError> {
        let columns = columns(("products", products), ("first", first))?;
        check_len("second", second, first.len())?;
        let rows = (CHUNK / columns).max(1);
        for_chunks(products, rows, |index, products| {
            let start = index * rows * columns;
            let pairs = first[start..]
                .chunks_exact(columns)
                .zip(second[start..].chunks_exact(columns));
            for (product, (first, second)) in products.iter_mut().zip(pairs) {
                *product = dot(first, second) as f32;
            }
        });
        Ok(())
    }
}

/// Columns of a matrix with a row for each factor, at least 1.
fn columns(
    factors: (&'static str, &[f32]),
    matrix: (&'static str, &[f32]),
) -> Result<usize, KernelError> {
    let (rows, len) = (factors.1.len(), matrix.1.len());
    let columns = len.checked_div(rows).unwrap_or(0).max(1);
    if rows == 0 {
        check_len(factors.0, factors.1, len)?;
    }
    check_len(matrix.0, matrix.1, rows * columns)?;
    Ok(columns)
}

/// Sum of products in double precision, in a fixed order of eight partial sums.
fn dot(first: &[f32], second: &[f32]) -> f64 {
    const LANES: usize = 8;
    let mut sums = [0.0; LANES];
    for (first, second) in first.chunks(LANES).zip(second.chunks(LANES)) {
        for ((sum, a), b) in sums.iter_mut().zip(first).zip(second) {
            *sum += f64::from(*a) * f64::from(*b);
        }
    }
    sums.iter().sum()
}
