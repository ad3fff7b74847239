use onecycle_burn::diagnose::{Hessian, HessianVerdict};
use onecycle_stats::{Estimate, NoiseScale, NoiseVerdict, SharpnessVerdict};

use super::{Diagnosis, Noise, Slice};
use onecycle_plot::format::significant;

/// One finding of a diagnosis, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The measured quantity.
    pub name: String,
    /// The value, with its error or verdict.
    pub value: String,
    /// What it means.
    pub meaning: String,
}

impl Finding {
    fn new(name: &str, value: String, meaning: impl Into<String>) -> Self {
        Finding {
            name: name.to_owned(),
            value,
            meaning: meaning.into(),
        }
    }
}

impl Diagnosis {
    /// All findings in words, for a terminal or a report.
    pub fn rows(&self) -> Vec<Finding> {
        let point = &self.conditions;
        let lr = significant(point.lr);
        let mut rows = vec![
            Finding::new(
                "network",
                format!("after {} steps", point.step),
                match &self.weights {
                    Some(file) => format!("weights of {file}, in evaluation mode"),
                    None => "weights of the run, in evaluation mode".to_owned(),
                },
            ),
            self.gap_row(),
            Finding::new(
                "lr / batch size",
                significant(point.lr_per_sample),
                format!(
                    "lr {lr} over {} images: together with the covariance of the gradients, it determines the width of \
                     the minima that SGD finds (Jastrzębski et al. 2017)",
                    point.batch_size
                ),
            ),
            Finding::new(
                "lr N / (B (1 − m))",
                significant(point.temperature),
                format!(
                    "scale of the random fluctuations in training, at momentum {} (Smith & Le 2018)",
                    significant(point.momentum)
                ),
            ),
        ];
        rows.extend(self.noise.iter().flat_map(|noise| self.noise_rows(noise)));
        rows.extend(self.hessian.iter().map(|hessian| self.hessian_row(hessian)));
        rows.extend(self.sharpness_row());
        rows.extend(slices_row(&self.slices));
        for problem in &self.problems {
            rows.push(Finding::new(
                "not measured",
                "–".to_owned(),
                problem.clone(),
            ));
        }
        rows.push(Finding::new(
            "cost",
            format!("{} images", self.cost.images),
            format!(
                "for losses and gradients, the images of {} updates of the run",
                self.cost.steps
            ),
        ));
        rows
    }

    fn gap_row(&self) -> Finding {
        let gap = &self.gap;
        Finding::new(
            "generalisation gap",
            significant(gap.gap),
            format!(
                "loss {} on {} validation images minus {} on {} training images, without augmentation",
                significant(gap.val_loss),
                gap.val_images,
                significant(gap.train_loss),
                gap.train_images
            ),
        )
    }

    fn noise_rows(&self, noise: &Noise) -> Vec<Finding> {
        let found = &noise.micro_batches;
        let batch_size = self.conditions.batch_size;
        let meaning = match (found.verdict, found.scale) {
            (NoiseVerdict::Ok, Some(scale)) if scale.value > batch_size as f64 => format!(
                "batch size at which noise and gradient are equally large. The run's {batch_size} is smaller: noise \
                 dominates, and larger batches would help (McCandlish et al. 2018)"
            ),
            (NoiseVerdict::Ok, _) => format!(
                "batch size at which noise and gradient are equally large. The run's {batch_size} is larger: the \
                 gradient dominates (McCandlish et al. 2018)"
            ),
            (verdict, _) => verdict.advice().to_owned(),
        };
        let mut rows = vec![
            Finding::new("gradient noise scale", scale(found), meaning),
            Finding::new(
                "|G|², tr Σ",
                format!("{}, {}", estimate(found.gradient), estimate(found.trace)),
                format!(
                    "squared norm of the gradient, and variance of the gradient of one image; from {} micro-batches of {}",
                    noise.batches, noise.batch_size
                ),
            ),
        ];
        rows.extend(noise.two_sizes.map(|found| {
            Finding::new(
                "noise scale from two batch sizes",
                scale(&found),
                "a second estimate from the same gradients; they should agree within the errors",
            )
        }));
        rows
    }

    fn hessian_row(&self, hessian: &Hessian) -> Finding {
        let curvature = &hessian.curvature;
        let values: Vec<String> = curvature
            .eigenvalues
            .iter()
            .map(|one| significant(one.value))
            .collect();
        let mut meaning = format!(
            "sharpness: largest curvatures of the loss; the smallest one found is {}",
            significant(curvature.smallest.value)
        );
        let (lr, momentum) = (self.conditions.lr, self.conditions.momentum);
        if lr > 0.0 {
            // Full-batch gradient descent with heavy-ball momentum is stable below this curvature:
            // Cohen et al. (2021), section 2.
            meaning += &format!(
                ". Gradient descent with the lr and momentum of the last update is stable below 2 (1 + m) / lr = {}",
                significant(2.0 * (1.0 + momentum) / lr)
            );
        }
        if hessian.verdict != HessianVerdict::Ok {
            meaning = format!("{}; {meaning}", hessian.verdict);
        }
        Finding::new("Hessian eigenvalues", values.join(", "), meaning)
    }

    fn sharpness_row(&self) -> Option<Finding> {
        let found = self.sharpness?;
        let mut meaning = format!(
            "the loss rises from {} to at least {} if each weight moves by up to {} (|w| + 1) (Keskar et al. 2017)",
            significant(found.loss),
            significant(found.highest),
            significant(found.epsilon)
        );
        if found.verdict != SharpnessVerdict::Ok {
            meaning = format!("{}; {meaning}", found.verdict);
        }
        let value = format!("{} %", significant(found.sharpness));
        Some(Finding::new("ε-sharpness", value, meaning))
    }
}

/// Rise of the loss halfway along the slices, averaged over both sides.
fn slices_row(slices: &[Slice]) -> Option<Finding> {
    let rises: Vec<f64> = slices.iter().filter_map(Slice::rise).collect();
    let mean = rises.iter().sum::<f64>() / rises.len() as f64;
    (!rises.is_empty()).then(|| {
        Finding::new(
            "loss slices",
            format!("+ {}", significant(mean)),
            "rise of the loss if every filter moves by half its length in a random direction; small for flat minima (Li \
             et al. 2018)",
        )
    })
}

impl Slice {
    /// Mean loss halfway to both ends minus the loss in the middle; `None` if one of them is not
    /// finite.
    pub fn rise(&self) -> Option<f64> {
        let last = self.loss.len().checked_sub(1)?;
        let at = |i: usize| self.loss.get(i).copied().flatten();
        Some((at(last / 4)? + at(last - last / 4)?) / 2.0 - at(last / 2)?)
    }
}

fn estimate(estimate: Estimate) -> String {
    match estimate.error {
        Some(error) => format!("{} ± {}", significant(estimate.value), significant(error)),
        None => significant(estimate.value),
    }
}

fn scale(noise: &NoiseScale) -> String {
    match noise.scale {
        Some(scale) if noise.verdict == NoiseVerdict::Ok => estimate(scale),
        _ => noise.verdict.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rise_is_the_mean_of_both_sides() {
        let slice = |loss: Vec<Option<f64>>| Slice {
            alpha: vec![-1.0, -0.5, 0.0, 0.5, 1.0],
            loss,
        };
        let losses = [9.0, 3.0, 1.0, 2.0, 9.0].map(Some).to_vec();
        assert_eq!(slice(losses.clone()).rise(), Some(1.5));
        let mut cut = losses;
        cut[3] = None;
        assert_eq!(slice(cut).rise(), None);
        assert_eq!(slice(Vec::new()).rise(), None);
    }
}
