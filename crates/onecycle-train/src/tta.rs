//! Test-time augmentation: classify the image alone, or average over views of it.
//!
//! A network trained on images and their mirror images gives a different answer to each, and to an
//! image moved by a pixel. The mean of the answers is correct more often (Krizhevsky et al.,
//! "ImageNet Classification with Deep Convolutional Neural Networks" (2012), section 4.1) and costs
//! as many times as much as there are views. Do not compare an accuracy measured this way with one
//! on single images.

use std::{fmt, str::FromStr};

use burn::tensor::{Device, Int, Tensor, TensorData};
use onecycle_vision::models::Network;
use serde::{Deserialize, Serialize};

use crate::{
    ConfigError, TrainError,
    logits::{log_softmax, to_host},
};

/// Test-time augmentation of each image. The predicted distribution is the weighted mean over its
/// views.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tta {
    /// The image alone.
    #[default]
    Image,
    /// The image and its mirror image.
    Mirror,
    /// The image unmoved (half of the weight), and moved by one pixel along the main diagonal in
    /// both directions with reflected borders (a quarter each); each of the three also mirrored.
    /// Jordan 2024, "94% on CIFAR-10 in 3.29 seconds", section 3.5.
    MirrorAndShift,
}

/// One view of an image.
struct View {
    /// Weight of its prediction.
    weight: f64,
    /// Whether it is mirrored left to right.
    mirror: bool,
    /// Rows and columns by which the content moves down and to the right.
    shift: isize,
}

const fn view(weight: f64, mirror: bool, shift: isize) -> View {
    View {
        weight,
        mirror,
        shift,
    }
}

impl Tta {
    /// Every value.
    pub const ALL: [Tta; 3] = [Tta::Image, Tta::Mirror, Tta::MirrorAndShift];

    /// The name in a configuration file and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Tta::Image => "image",
            Tta::Mirror => "mirror",
            Tta::MirrorAndShift => "mirror_and_shift",
        }
    }

    /// Whether the image alone is classified.
    pub(crate) fn is_image(&self) -> bool {
        *self == Tta::Image
    }

    /// Number of views of an image.
    pub fn views(self) -> usize {
        self.all_views().len()
    }

    fn all_views(self) -> &'static [View] {
        const IMAGE: [View; 1] = [view(1.0, false, 0)];
        const MIRROR: [View; 2] = [view(0.5, false, 0), view(0.5, true, 0)];
        const MIRROR_AND_SHIFT: [View; 6] = [
            view(0.25, false, 0),
            view(0.25, true, 0),
            view(0.125, false, 1),
            view(0.125, true, 1),
            view(0.125, false, -1),
            view(0.125, true, -1),
        ];
        match self {
            Tta::Image => &IMAGE,
            Tta::Mirror => &MIRROR,
            Tta::MirrorAndShift => &MIRROR_AND_SHIFT,
        }
    }

    /// Logits of images `[batch, channels, height, width]`, row-major. The softmax of a row is the
    /// predicted distribution.
    ///
    /// # Errors
    /// [`RunError::Compute`](crate::RunError::Compute) if the result cannot be read back.
    pub(crate) fn logits(
        self,
        model: &impl Network,
        images: Tensor<4>,
    ) -> Result<Vec<f32>, TrainError> {
        if self == Tta::Image {
            return to_host(model.forward(images));
        }
        let mut predictions = Vec::new();
        let mut classes = 1;
        for view in self.all_views() {
            let mut images = shifted(images.clone(), view.shift);
            if view.mirror {
                images = images.flip([3]);
            }
            let logits = model.forward(images);
            classes = logits.dims()[1];
            predictions.push((view.weight, to_host(logits)?));
        }
        Ok(mean(&predictions, classes))
    }
}

impl fmt::Display for Tta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Tta {
    type Err = ConfigError;

    fn from_str(name: &str) -> Result<Self, ConfigError> {
        Tta::ALL
            .into_iter()
            .find(|tta| tta.name() == name)
            .ok_or_else(|| ConfigError::setting("tta", name, Tta::ALL.map(Tta::name).join(", ")))
    }
}

/// Moves the content down and to the right by `by` pixels. The border is reflected.
fn shifted(images: Tensor<4>, by: isize) -> Tensor<4> {
    if by == 0 {
        return images;
    }
    let [_, _, height, width] = images.dims();
    let device = images.device();
    let images = images.select(2, reflected(height, by, &device));
    images.select(3, reflected(width, by, &device))
}

/// For each of `count` rows, the row that a shift by `by` shows there: row -1 is row 1, and row
/// `count` is row `count - 2`. A single row stays.
fn reflected(count: usize, by: isize, device: &Device) -> Tensor<1, Int> {
    let last = count as isize - 1;
    let source = |row: isize| {
        let row = (row - by).abs();
        let row = if row > last { 2 * last - row } else { row };
        row.clamp(0, last) as i64
    };
    let rows: Vec<i64> = (0..count as isize).map(source).collect();
    Tensor::from_data(TensorData::new(rows, [count]), device)
}

/// For each row, the logarithm of the weighted mean of distributions that are given as logits.
fn mean(predictions: &[(f64, Vec<f32>)], classes: usize) -> Vec<f32> {
    let values = predictions.first().map_or(0, |(_, logits)| logits.len());
    let rows = (0..values).step_by(classes);
    rows.flat_map(|start| {
        let views: Vec<(f64, Vec<f64>)> = predictions
            .iter()
            .map(|(weight, logits)| (*weight, log_softmax(&logits[start..start + classes])))
            .collect();
        (0..classes).map(move |class| {
            let largest = views
                .iter()
                .map(|(_, row)| row[class])
                .fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = views
                .iter()
                .map(|(weight, row)| weight * (row[class] - largest).exp())
                .sum();
            (largest + sum.ln()) as f32
        })
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The distributions (1/4, 3/4) and (1/2, 1/2) have the mean (3/8, 5/8). Adding a constant to
    /// all logits changes nothing.
    #[test]
    fn mean_matches_a_hand_computed_example() {
        let logits = mean(
            &[(0.5, vec![5.0, 5.0 + 3f32.ln()]), (0.5, vec![-70.0, -70.0])],
            2,
        );
        for (logit, probability) in logits.iter().zip([0.375f32, 0.625]) {
            assert!((logit - probability.ln()).abs() < 1e-6, "{logits:?}");
        }
    }

    /// If the two predictions are certain of different classes, each class gets one half.
    #[test]
    fn certain_predictions_do_not_underflow() {
        let sure = [vec![2000.0, 0.0, 0.0], vec![0.0, 2000.0, 0.0]];
        let logits = mean(&sure.map(|row| (0.5, row)), 3);
        let half = 0.5f32.ln();
        assert_eq!((logits[0], logits[1]), (half, half));
        assert!(logits[2] < -1900.0);
    }

    #[test]
    fn weights_sum_to_one() {
        for tta in Tta::ALL {
            let sum: f64 = tta.all_views().iter().map(|view| view.weight).sum();
            assert_eq!(sum, 1.0, "{tta}");
            assert_eq!(tta.name().parse::<Tta>().ok(), Some(tta));
        }
    }

    /// PyTorch's `F.pad(x, (1,) * 4, "reflect")[.., 0:3, 0:3]` moves down and right, `[.., 2:5,
    /// 2:5]` up and left.
    #[test]
    fn shifts_reflect_the_border() {
        let rows = |by, count| -> Vec<i64> {
            let rows = reflected(count, by, &Device::flex());
            rows.into_data().iter::<i64>().collect()
        };
        assert_eq!(rows(1, 4), [1, 0, 1, 2]);
        assert_eq!(rows(-1, 4), [1, 2, 3, 2]);
        assert_eq!((rows(1, 1), rows(-1, 1)), (vec![0], vec![0]));
        let image: Vec<f32> = (0..9).map(|i| i as f32).collect();
        let image = Tensor::<4>::from_data(TensorData::new(image, [1, 1, 3, 3]), &Device::flex());
        let moved: Vec<f32> = shifted(image, 1).into_data().iter().collect();
        assert_eq!(moved, [4.0, 3.0, 4.0, 1.0, 0.0, 1.0, 4.0, 3.0, 4.0]);
    }
}
