//! Fewer points of a long curve that look the same.
//!
//! Each bucket of equally many points keeps its lowest and its highest one, in their order. A curve
//! drawn through them covers the same pixels as the whole curve if a bucket is at most a pixel wide,
//! so a spike of a single step is never lost. (Largest-triangle-three-buckets, Steinarsson 2013, keeps
//! one point per bucket and can lose one of two opposite spikes.)

/// Indices into `values` to draw, ascending: all of them if there are at most `2 * buckets`, otherwise
/// the first, the last, and the lowest and the highest finite value of each bucket. A bucket with a
/// value that is not finite keeps the first of these too, so that the gap shows.
pub(crate) fn min_max(values: &[f64], buckets: usize) -> Vec<usize> {
    let (len, buckets) = (values.len(), buckets.max(1));
    if len <= 2 * buckets {
        return (0..len).collect();
    }
    let mut kept = vec![0];
    for bucket in 0..buckets {
        let (from, to) = (bucket * len / buckets, (bucket + 1) * len / buckets);
        let mut found = extremes(&values[from..to]);
        found.sort_unstable();
        kept.extend(found.into_iter().map(|index| from + index));
    }
    kept.push(len - 1);
    kept.dedup();
    kept
}

/// Indices of the lowest and the highest finite value and of the first one that is not finite.
fn extremes(values: &[f64]) -> Vec<usize> {
    let finite = || {
        values
            .iter()
            .enumerate()
            .filter(|(_, value)| value.is_finite())
    };
    let low = finite().min_by(|a, b| a.1.total_cmp(b.1));
    let high = finite().max_by(|a, b| a.1.total_cmp(b.1));
    let gap = values.iter().position(|value| !value.is_finite());
    let found = [low, high].into_iter().flatten().map(|(index, _)| index);
    let mut found: Vec<usize> = found.chain(gap).collect();
    found.sort_unstable();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_curves_are_complete() {
        assert_eq!(min_max(&[3.0, 1.0, 2.0], 2), [0, 1, 2]);
        assert!(min_max(&[], 2).is_empty());
    }

    #[test]
    fn spikes_and_gaps_are_kept() {
        let mut values: Vec<f64> = (0..100_000).map(|i| f64::from(i % 7)).collect();
        values[31_415] = 1e6;
        values[31_416] = -1e6;
        values[77_777] = f64::NAN;
        let kept = min_max(&values, 500);
        assert!(kept.len() <= 3 * 500 + 2, "{}", kept.len());
        for index in [0, 31_415, 31_416, 77_777, 99_999] {
            assert!(kept.contains(&index), "{index}");
        }
        assert!(kept.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn every_bucket_keeps_its_range() {
        let values: Vec<f64> = (0..1000).map(|i| f64::from(i * 7919 % 1000)).collect();
        let kept = min_max(&values, 10);
        for bucket in 0..10 {
            let range = bucket * 100..(bucket + 1) * 100;
            let extreme =
                |pick: fn(f64, f64) -> f64, values: Vec<f64>| values.into_iter().reduce(pick);
            let whole = || values[range.clone()].to_vec();
            let thinned = || {
                kept.iter()
                    .filter(|i| range.contains(i))
                    .map(|i| values[*i])
                    .collect()
            };
            assert_eq!(extreme(f64::min, whole()), extreme(f64::min, thinned()));
            assert_eq!(extreme(f64::max, whole()), extreme(f64::max, thinned()));
        }
    }
}
