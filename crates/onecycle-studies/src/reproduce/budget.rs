use std::str::FromStr;

use onecycle_vision::{Augment, Border, Flip};
use serde::{Deserialize, Serialize};

use crate::StudyError;
use onecycle_train::{Config, ConfigError, device::Device};

/// Presets of the budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StudySize {
    /// All experiments in about half an hour on two cores: ten seeds of a small convolutional network
    /// on 6 000 images of Fashion-MNIST.
    Quick,
    /// ResNet-20 on CIFAR-10 on two cores: most experiments in several hours, `super-convergence` in
    /// ten hours or more.
    Cpu,
    /// Network, data and epochs of the originals; needs a GPU.
    Paper,
}

/// Network, data and lengths that the runs share. Each experiment documents where it differs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Budget {
    /// Network.
    pub model: String,
    /// Data set.
    pub data: String,
    /// Number of training images, a random sample of the set; 0 for all.
    pub images: usize,
    /// Number of test images, a random sample of the set; 0 for all.
    pub test_images: usize,
    /// Epochs of one cycle.
    pub epochs: f64,
    /// Images per update.
    pub batch_size: usize,
    /// Weight decay.
    pub weight_decay: f64,
    /// Pixels of padding before a random crop.
    pub pad: usize,
    /// Peak learning rate of one cycle.
    pub lr_max: f64,
    /// First rate of the piecewise constant policy; it drops to a tenth and a hundredth.
    pub lr_piecewise: f64,
    /// In `super-convergence`, the piecewise constant policy gets this many times the steps of one
    /// cycle; 0 if such long runs are left to a larger scale.
    pub longer: u32,
    /// Runs of these long variants, from 1 to `seeds`.
    pub longer_seeds: usize,
    /// Fractions of the images for the part of `super-convergence` with fewer images.
    pub fewer: Vec<f64>,
    /// In `large-batch`, the factor on the batch size.
    pub large: u32,
    /// `lenet-mnist`: network, `lenet-caffe` in the paper.
    pub lenet_model: String,
    /// `lenet-mnist`: data set.
    pub lenet_data: String,
    /// `lenet-mnist`: epochs of the competing policies; one cycle gets 12/85, 25/85 and all of
    /// them. 0 if such long runs are left to a larger scale.
    pub lenet_epochs: f64,
    /// `lenet-mnist`: images per update.
    pub lenet_batch_size: usize,
    /// `noise-scale`, `flat-minima`: number of diagnoses during one cycle, the last one at its end.
    pub diagnoses: u64,
    /// Micro-batches of 32 images per measurement of the noise scale.
    pub noise_batches: usize,
    /// Training images per measurement of curvature and sharpness.
    pub surface_images: usize,
    /// Runs per variant, with seeds 1, 2, ...
    pub seeds: usize,
    /// Prefix of the labels of the runs with this budget. Experiments whose budgets differ cannot
    /// share runs.
    pub prefix: String,
    /// The budget of `super-convergence`, if it is another one.
    pub super_convergence: Option<Box<Budget>>,
    /// The budget of `full-cycle` and `higher-rate`, if it is another one.
    pub full_cycle: Option<Box<Budget>>,
}

impl StudySize {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            StudySize::Quick => "quick",
            StudySize::Cpu => "cpu",
            StudySize::Paper => "paper",
        }
    }

    /// Its budget.
    pub fn budget(self) -> Budget {
        match self {
            StudySize::Quick => Budget::quick(),
            StudySize::Cpu => Budget::cpu(),
            StudySize::Paper => Budget::paper(),
        }
    }
}

impl FromStr for StudySize {
    type Err = StudyError;

    fn from_str(name: &str) -> Result<Self, StudyError> {
        match name {
            "quick" => Ok(StudySize::Quick),
            "cpu" => Ok(StudySize::Cpu),
            "paper" => Ok(StudySize::Paper),
            _ => Err(ConfigError::setting("scale", name, "quick, cpu or paper").into()),
        }
    }
}

impl Budget {
    /// Many seeds of a network that trains in seconds. Claims about long runs are left to the other
    /// scales.
    fn quick() -> Self {
        Budget {
            model: "convnet".to_owned(),
            data: "fashion-mnist".to_owned(),
            images: 6_000,
            test_images: 3_000,
            epochs: 4.0,
            batch_size: 96,
            weight_decay: 5e-4,
            pad: 0,
            lr_max: 0.2,
            lr_piecewise: 0.1,
            longer: 0,
            longer_seeds: 0,
            fewer: Vec::new(),
            large: 4,
            lenet_model: "lenet5".to_owned(),
            lenet_data: "fashion-mnist".to_owned(),
            lenet_epochs: 0.0,
            lenet_batch_size: 128,
            diagnoses: 6,
            noise_batches: 64,
            surface_images: 128,
            seeds: 10,
            prefix: String::new(),
            super_convergence: None,
            full_cycle: None,
        }
    }

    /// ResNet-20 on 20 000 images. `super-convergence` trains on as many images as the paper and makes
    /// about as many updates. The paper makes 10 000 updates of 1000 images; batches of 128 make as many
    /// from an eighth of the images. The full cycle has the network of Gugger's notebook and a third of
    /// its epochs.
    fn cpu() -> Self {
        let common = Budget {
            model: "resnet20".to_owned(),
            data: "cifar10".to_owned(),
            images: 20_000,
            test_images: 5_000,
            epochs: 8.0,
            batch_size: 128,
            pad: 4,
            lr_max: 0.4,
            large: 8,
            lenet_epochs: 85.0,
            lenet_batch_size: 512,
            diagnoses: 8,
            seeds: 3,
            ..Budget::quick()
        };
        let super_convergence = Budget {
            images: 0,
            test_images: 0,
            epochs: 25.0,
            weight_decay: 1e-4,
            pad: 0,
            longer: 8,
            longer_seeds: 1,
            fewer: vec![0.2],
            diagnoses: 1,
            noise_batches: 0,
            prefix: "super-".to_owned(),
            ..common.clone()
        };
        let full_cycle = Budget {
            model: "resnet56".to_owned(),
            images: 0,
            test_images: 0,
            epochs: 30.0,
            weight_decay: 1e-4,
            diagnoses: 1,
            noise_batches: 0,
            seeds: 1,
            prefix: "full-".to_owned(),
            ..common.clone()
        };
        Budget {
            super_convergence: Some(Box::new(super_convergence)),
            full_cycle: Some(Box::new(full_cycle)),
            ..common
        }
    }

    /// The originals. Smith & Topin trained in batches of 1000 without padding.
    fn paper() -> Self {
        let common = Budget {
            model: "resnet56".to_owned(),
            data: "cifar10".to_owned(),
            images: 0,
            test_images: 0,
            epochs: 95.0,
            batch_size: 512,
            weight_decay: 1e-4,
            pad: 4,
            lr_max: 0.8,
            lr_piecewise: 0.35,
            large: 16,
            lenet_model: "lenet-caffe".to_owned(),
            lenet_data: "mnist".to_owned(),
            lenet_epochs: 85.0,
            lenet_batch_size: 512,
            diagnoses: 19,
            noise_batches: 256,
            surface_images: 1000,
            seeds: 1,
            ..Budget::quick()
        };
        let super_convergence = Budget {
            // 10 000 updates.
            epochs: 200.0,
            batch_size: 1000,
            pad: 0,
            longer: 8,
            longer_seeds: 1,
            fewer: vec![0.8, 0.6, 0.4, 0.2],
            diagnoses: 1,
            noise_batches: 0,
            prefix: "super-".to_owned(),
            ..common.clone()
        };
        Budget {
            super_convergence: Some(Box::new(super_convergence)),
            ..common
        }
    }

    /// Changes this budget and those of single experiments.
    pub fn change(&mut self, mut change: impl FnMut(&mut Budget)) {
        for own in [&mut self.super_convergence, &mut self.full_cycle] {
            own.iter_mut().for_each(|own| change(own));
        }
        change(self);
    }

    /// Sets the epochs of one cycle to `epochs` where they are `before`, and changes the lengths of all
    /// other runs in proportion.
    pub fn set_epochs(&mut self, epochs: f64, before: f64) {
        self.change(|budget| {
            budget.lenet_epochs *= epochs / before;
            // No rounding where the length is given.
            budget.epochs = match budget.epochs == before {
                true => epochs,
                false => budget.epochs * epochs / before,
            };
        });
    }

    /// Runs per long variant of `super-convergence`.
    pub(super) fn long_runs(&self) -> usize {
        self.longer_seeds.clamp(1, self.seeds.max(1))
    }

    /// Whether everything but the numbers of seeds is the same.
    pub(super) fn equals_but_for_seeds(&self, other: &Budget) -> bool {
        let [mut own, mut other] = [self.clone(), other.clone()];
        for budget in [&mut own, &mut other] {
            budget.change(|budget| (budget.seeds, budget.longer_seeds) = (0, 0));
        }
        own == other
    }

    /// Network, data, augmentation and optimizer, with the default policy.
    pub(super) fn base(&self, device: Device) -> Config {
        let mut config = Config {
            epochs: Some(self.epochs),
            model: self.model.clone(),
            device,
            batch_size: self.batch_size,
            augment: Augment {
                flip: Flip::Random,
                pad: self.pad,
                border: Border::Reflect,
                ..Augment::default()
            },
            ..Config::default()
        };
        config.data.name = Some(self.data.clone());
        config.data.limit = self.images;
        config.data.test_limit = self.test_images;
        let optimizer = config.optimizer.config.clone();
        config.optimizer.config = optimizer.with_weight_decay(self.weight_decay);
        config
    }

    /// Network, data and epochs as text.
    pub(super) fn words(&self) -> String {
        format!(
            "{} on {} ({}), {} epochs of batches of {}",
            self.model,
            self.data,
            self.images_in_words(),
            self.epochs,
            self.batch_size
        )
    }

    /// Numbers of training and test images as text.
    pub(super) fn images_in_words(&self) -> String {
        let of = |images: usize| match images {
            0 => "all".to_owned(),
            n => n.to_string(),
        };
        format!(
            "{} training images, {} test images",
            of(self.images),
            of(self.test_images)
        )
    }

    /// The command-line flags that turn `other` into this budget.
    pub(super) fn flags_over(&self, other: &Budget) -> String {
        let flags = [
            ("--model", &self.model, &other.model),
            ("--model", &self.lenet_model, &other.lenet_model),
            (
                "--images",
                &self.images.to_string(),
                &other.images.to_string(),
            ),
            (
                "--test-images",
                &self.test_images.to_string(),
                &other.test_images.to_string(),
            ),
            (
                "--epochs",
                &self.epochs.to_string(),
                &other.epochs.to_string(),
            ),
        ];
        let changed = flags.iter().filter(|(_, own, other)| own != other);
        changed
            .map(|(flag, own, _)| format!(" {flag} {own}"))
            .collect()
    }
}
