//! Factors of rows, against double precision.

use crate::common::*;
use onecycle_kernels::{KernelError, Kernels};

#[test]
fn rows_are_scaled_and_multiplied() {
    let kernels = Kernels::new();
    for (rows, columns) in [(1, 1), (3, 5), (40, 9), (1280, 320), (2, 40_000)] {
        let (factors, x) = (numbers(1, rows), numbers(2, rows * columns));
        let mut y = vec![f32::NAN; x.len()];
        kernels.scale_rows(&factors, &x, &mut y).unwrap();
        for (i, y) in y.iter().enumerate() {
            assert_eq!(*y, factors[i / columns] * x[i]);
        }
        let g = numbers(3, x.len());
        let mut products = vec![f32::NAN; rows];
        kernels.row_products(&g, &x, &mut products).unwrap();
        for (r, product) in products.iter().enumerate() {
            let row = r * columns..(r + 1) * columns;
            let known = dot(&doubles(&g[row.clone()]), &doubles(&x[row]));
            assert!((f64::from(*product) - known).abs() <= 1e-6 * (1.0 + known.abs()));
        }
    }
}

#[test]
fn rows_that_do_not_fit_are_errors() {
    let kernels = Kernels::new();
    let named = |result: Result<(), KernelError>| match result {
        Err(KernelError::Length { name, .. }) => name,
        other => panic!("{other:?}"),
    };
    let mut y = [7.0; 6];
    for (factors, wrong) in [(4, "input"), (0, "factors"), (8, "input")] {
        let result = kernels.scale_rows(&vec![1.0; factors], &[1.0; 6], &mut y);
        assert_eq!(named(result), wrong);
    }
    let short = kernels.scale_rows(&[1.0; 3], &[1.0; 6], &mut y[..5]);
    assert_eq!(named(short), "output");
    let short = kernels.row_products(&[1.0; 6], &[1.0; 5], &mut y[..3]);
    assert_eq!(named(short), "second");
    let unequal = kernels.row_products(&[1.0; 6], &[1.0; 6], &mut y[..4]);
    assert_eq!(named(unequal), "first");
    let none = kernels.row_products(&[1.0; 6], &[1.0; 6], &mut []);
    assert_eq!(named(none), "products");
    assert_eq!(y, [7.0; 6]);
    assert!(kernels.scale_rows(&[], &[], &mut []).is_ok());
}
