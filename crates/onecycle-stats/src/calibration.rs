//! Whether a classifier is right as often as its probabilities say.

use serde::{Deserialize, Serialize};

/// Predictions grouped by confidence: the probability of the predicted class.
///
/// Guo et al., "On calibration of modern neural networks" (2017), section 2. With `M` bins, bin
/// `m` holds the predictions with a confidence in `((m - 1) / M, m / M]`; the first one also holds
/// confidence 0.
///
/// ```
/// use onecycle_stats::Reliability;
///
/// let mut reliability = Reliability::new(10);
/// // Four predictions with 90 % confidence, three of them correct.
/// for correct in [true, true, true, false] {
///     reliability.add(0.9, correct);
/// }
/// // They should be correct 90 % of the time and are correct 75 % of the time.
/// assert!((reliability.expected_calibration_error().unwrap() - 0.15).abs() < 1e-12);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Reliability {
    sums: Vec<Sums>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Sums {
    images: u64,
    confidence: f64,
    correct: u64,
}

/// The predictions with a confidence above [`low`](Self::low), up to [`high`](Self::high).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ReliabilityBin {
    /// Lower end of the bin, exclusive unless it is 0.
    pub low: f64,
    /// Upper end of the bin, inclusive.
    pub high: f64,
    /// Number of predictions.
    pub images: u64,
    /// Mean confidence, 0 to 1; `None` without predictions.
    pub confidence: Option<f64>,
    /// Share of correct predictions, 0 to 1; `None` without predictions.
    pub accuracy: Option<f64>,
}

impl Reliability {
    /// Number of bins in Guo et al.
    pub const BINS: usize = 15;

    /// An empty diagram with `bins` bins of equal width, at least 1.
    pub fn new(bins: usize) -> Self {
        Reliability {
            sums: vec![Sums::default(); bins.max(1)],
        }
    }

    /// Counts one prediction. `confidence` is its probability, 0 to 1; a NaN is in the last bin and
    /// makes the calibration error NaN.
    pub fn add(&mut self, confidence: f64, correct: bool) {
        let last = self.sums.len() - 1;
        let bin = (0..last).find(|bin| confidence <= self.edge(bin + 1));
        let sums = &mut self.sums[bin.unwrap_or(last)];
        sums.images += 1;
        sums.confidence += confidence;
        sums.correct += u64::from(correct);
    }

    /// The bins, in increasing order.
    pub fn bins(&self) -> Vec<ReliabilityBin> {
        let bin = |(index, sums): (usize, &Sums)| {
            let mean = |sum: f64| (sums.images > 0).then(|| sum / sums.images as f64);
            ReliabilityBin {
                low: self.edge(index),
                high: self.edge(index + 1),
                images: sums.images,
                confidence: mean(sums.confidence),
                accuracy: mean(sums.correct as f64),
            }
        };
        self.sums.iter().enumerate().map(bin).collect()
    }

    /// Expected calibration error, 0 to 1: the mean over all predictions of the difference between
    /// accuracy and mean confidence of their bin (Guo et al. 2017, equation 3). `None` without
    /// predictions.
    pub fn expected_calibration_error(&self) -> Option<f64> {
        let images: u64 = self.sums.iter().map(|sums| sums.images).sum();
        let gap = |sums: &Sums| (sums.correct as f64 - sums.confidence).abs();
        (images > 0).then(|| self.sums.iter().map(gap).sum::<f64>() / images as f64)
    }

    /// Upper end of the bin before `bin`.
    fn edge(&self, bin: usize) -> f64 {
        bin as f64 / self.sums.len() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // scikit-learn 1.9.1, for 40 predictions with the confidences 1/40 to 1:
    //     q = [i / 40 for i in range(1, 41)]
    //     c = [i * i % 7 < 4 for i in range(1, 41)]
    //     acc, conf = calibration_curve(c, q, n_bins=15)
    //     n = np.bincount(np.searchsorted(np.linspace(0, 1, 16)[1:-1], q), minlength=15)
    //     print(acc.tolist(), conf.tolist(), n.tolist())
    //     print(np.sum(n / 40 * np.abs(acc - conf)))
    #[test]
    fn bins_are_those_of_scikit_learn() {
        let mut reliability = Reliability::new(Reliability::BINS);
        for i in 1..=40_u32 {
            reliability.add(f64::from(i) / 40.0, i * i % 7 < 4);
        }
        let third = 0.6666666666666666;
        let accuracy = [
            0.5, third, 1.0, 0.5, third, third, 1.0, third, third, 0.5, 1.0, third, 0.5, third,
            third,
        ];
        let confidence = [
            0.037500000000000006,
            0.09999999999999999,
            0.17499999999999996,
            0.2375,
            0.3,
            0.375,
            0.4375,
            0.5,
            0.5750000000000001,
            0.6375,
            0.7000000000000001,
            0.775,
            0.8374999999999999,
            0.9,
            0.975,
        ];
        let images = [2, 3, 3, 2, 3, 3, 2, 3, 3, 2, 3, 3, 2, 3, 3];
        let bins = reliability.bins();
        assert_eq!(bins.len(), 15);
        for (index, bin) in bins.iter().enumerate() {
            assert_eq!(bin.images, images[index], "{bin:?}");
            assert_eq!(bin.accuracy, Some(accuracy[index]), "{bin:?}");
            let found = bin.confidence.unwrap_or(f64::NAN);
            assert!((found - confidence[index]).abs() < 1e-15, "{bin:?}");
        }
        let error = reliability.expected_calibration_error().unwrap_or(f64::NAN);
        assert!((error - 0.33249999999999996).abs() < 1e-15, "{error}");
    }

    /// By hand: in the bin up to 1/2, accuracy 1/2 at confidence 0.4; above, accuracy 1 at
    /// confidence 0.9. `(2 * 0.1 + 1 * 0.1) / 3 = 0.1`.
    #[test]
    fn the_error_is_the_hand_computed_one() {
        let mut reliability = Reliability::new(2);
        reliability.add(0.3, true);
        reliability.add(0.5, false);
        reliability.add(0.9, true);
        let error = reliability.expected_calibration_error().unwrap_or(f64::NAN);
        assert!((error - 0.1).abs() < 1e-15, "{error}");
        let bins = reliability.bins();
        assert_eq!([bins[0].images, bins[1].images], [2, 1]);
        assert_eq!([bins[0].high, bins[1].low], [0.5, 0.5]);
    }

    #[test]
    fn edges_belong_to_the_bin_below_and_empty_bins_have_no_means() {
        let mut reliability = Reliability::new(4);
        reliability.add(0.0, false);
        reliability.add(0.25, false);
        reliability.add(1.0, true);
        let bins = reliability.bins();
        let images: Vec<u64> = bins.iter().map(|bin| bin.images).collect();
        assert_eq!(images, [2, 0, 0, 1]);
        assert_eq!((bins[1].confidence, bins[1].accuracy), (None, None));
        assert_eq!(Reliability::new(4).expected_calibration_error(), None);
    }
}
