//! Reduces the points of a drawing and keeps every peak.

/// Indices, in order, of the points to draw out of `len` points.
///
/// The points are split into `buckets` runs of equal length. Each run keeps its first point and the
/// smallest and largest by every key; the last run also keeps its last point. So no extreme is
/// lost, and the order of the points stays the same. Each key must hold `len` finite values.
pub(crate) fn thin(len: usize, buckets: usize, keys: &[&[f64]]) -> Vec<usize> {
    if len <= buckets.max(1) * (2 * keys.len() + 1) {
        return (0..len).collect();
    }
    let mut kept = Vec::new();
    for bucket in 0..buckets {
        let run = bucket * len / buckets..(bucket + 1) * len / buckets;
        let mut some = vec![run.start];
        for key in keys {
            some.extend(run.clone().min_by(|&a, &b| key[a].total_cmp(&key[b])));
            some.extend(run.clone().max_by(|&a, &b| key[a].total_cmp(&key[b])));
        }
        some.sort_unstable();
        some.dedup();
        kept.extend(some);
    }
    if kept.last() != Some(&(len - 1)) {
        kept.push(len - 1);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_peaks_ends_and_order() {
        let x: Vec<f64> = (0..100_000).map(f64::from).collect();
        let mut y = vec![0.0; x.len()];
        y[12_345] = 9.0;
        y[77_777] = -9.0;
        let kept = thin(x.len(), 300, &[&x, &y]);
        assert!(kept.len() <= 300 * 5 + 1, "{}", kept.len());
        assert!(kept.is_sorted_by(|a, b| a < b));
        for index in [0, 12_345, 77_777, 99_999] {
            assert!(kept.contains(&index), "{index} was lost");
        }
    }

    #[test]
    fn few_points_are_all_kept() {
        let y = [1.0, 2.0, 3.0];
        assert_eq!(thin(3, 1, &[&y]), [0, 1, 2]);
        assert_eq!(thin(0, 300, &[&[]]), [0_usize; 0]);
    }
}
