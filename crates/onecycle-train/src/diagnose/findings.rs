use onecycle_burn::diagnose::{Hessian, HessianVerdict};
use onecycle_stats::{Estimate, NoiseScale, NoiseVerdict, SharpnessVerdict};

use super::{Diagnosis, Noise, Slice};
use onecycle_plot::format::significant;

/// One finding: what it is, the number, and what that means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was measured.
    pub name: String,
    /// What was found, with its error or verdict.
    pub value: String,
    /// What it means, in plain words.
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
    /// All findings in plain words, for a terminal or a report.
    pub fn rows(&self) -> Vec<Finding> {
        let conditions = &self.conditions;
        let lr = significant(conditions.lr);
        let mut rows = vec![
            Finding::new(
                "network",
                format!("after {} steps", conditions.step),
                match &self.weights {
                    Some(file) => format!("the weights of {file}, in evaluation"),
                    None => "as the run had it, in evaluation".to_owned(),
                },
            ),
            self.gap_row(),
            Finding::new(
                "lr / batch size",
                significant(conditions.lr_per_sample),
                format!(
                    "lr {lr} over {} images: with the gradients' covariance it sets how wide the minima are that SGD \
                     ends in (Jastrzębski et al. 2017)",
                    conditions.batch_size
                ),
            ),
            Finding::new(
                "lr N / (B (1 − m))",
                significant(conditions.temperature),
                format!(
                    "Smith & Le's scale of random fluctuations in training, at momentum {}",
                    significant(conditions.momentum)
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
                "losses and gradients; as many images as in {} updates of the run",
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
                "loss {} on {} validation images less {} on {} training images, none of them augmented",
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
                "images in a batch at which noise and gradient are equally large; the run's {batch_size} are fewer: noise \
                 prevails, and larger batches would still pay (McCandlish et al. 2018)"
            ),
            (NoiseVerdict::Ok, _) => format!(
                "images in a batch at which noise and gradient are equally large; the run's {batch_size} are more: the \
                 gradient prevails (McCandlish et al. 2018)"
            ),
            (verdict, _) => verdict.advice().to_owned(),
        };
        let mut rows = vec![
            Finding::new("gradient noise scale", scale(found), meaning),
            Finding::new(
                "|G|², tr Σ",
                format!("{}, {}", estimate(found.gradient), estimate(found.trace)),
                format!(
                    "squared length of the gradient, variance of one image's; from {} micro-batches of {}",
                    noise.batches, noise.batch_size
                ),
            ),
        ];
        rows.extend(noise.two_sizes.map(|found| {
            Finding::new(
                "the same by two batch sizes",
                scale(&found),
                "a second estimate from the same gradients; it should agree to within the errors",
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
            "sharpness: largest curvatures of the loss; the smallest seen is {}",
            significant(curvature.smallest.value)
        );
        let (lr, momentum) = (self.conditions.lr, self.conditions.momentum);
        if lr > 0.0 {
            // Full-batch descent with heavy-ball momentum is stable below it: Cohen et al. 2021, section 2.
            meaning += &format!(
                ". Descent with the last update's lr and momentum is stable below 2 (1 + m) / lr = {}",
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
            "loss rises from {} to at least {} where each weight may move by {} (|w| + 1) (Keskar et al. 2017)",
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

/// How far the loss rises halfway along the slices, on the mean of both sides.
fn slices_row(slices: &[Slice]) -> Option<Finding> {
    let rises: Vec<f64> = slices.iter().filter_map(Slice::rise).collect();
    let mean = rises.iter().sum::<f64>() / rises.len() as f64;
    (!rises.is_empty()).then(|| {
        Finding::new(
            "loss slices",
            format!("+ {}", significant(mean)),
            "loss gained when every filter moves by half its length in a random direction; flat minima gain little (Li et \
             al. 2018)",
        )
    })
}

impl Slice {
    /// The mean loss halfway to both ends, less that in the middle; `None` where one of them is not finite.
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
    fn a_rise_is_that_of_both_sides() {
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
