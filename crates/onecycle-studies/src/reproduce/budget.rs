use std::str::FromStr;

use onecycle_vision::{Augment, Border, Flip};
use serde::{Deserialize, Serialize};

use crate::StudyError;
use onecycle_train::{Config, ConfigError, device::Device};

/// Presets of the budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StudySize {
    /// All experiments in less than half an hour on two cores: a small residual network on 6 000
    /// images of Fashion-MNIST.
    Quick,
    /// All experiments in several hours on two cores: ResNet-20 on CIFAR-10.
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
    /// Number of training images, taken from the start of the set; 0 for all.
    pub images: usize,
    /// Number of test images, taken from the start of the set; 0 for all.
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
    /// cycle.
    pub longer: u32,
    /// Fractions of the images for the part of `super-convergence` with fewer images.
    pub fewer: Vec<f64>,
    /// In `large-batch`, the factor on the batch size.
    pub large: u32,
    /// `lenet-mnist`: network, `lenet-caffe` in the paper.
    pub lenet_model: String,
    /// `lenet-mnist`: data set.
    pub lenet_data: String,
    /// `lenet-mnist`: epochs of the competing policies; one cycle gets 12/85, 25/85 and all of
    /// them.
    pub lenet_epochs: f64,
    /// `lenet-mnist`: images per update.
    pub lenet_batch_size: usize,
    /// `noise-scale`, `flat-minima`: number of diagnoses during one cycle, the last one at its end.
    pub diagnoses: u64,
    /// Micro-batches of 32 images per measurement of the noise scale.
    pub noise_batches: usize,
    /// Training images per measurement of curvature and sharpness.
    pub surface_images: usize,
    /// Runs per variant.
    pub seeds: usize,
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
        // model, data, images, test images, epochs, batch, weight decay, pad
        let (model, data, images, test_images, epochs, batch_size, weight_decay, pad) = match self {
            StudySize::Quick => (
                "resnet-small",
                "fashion-mnist",
                6_000,
                3_000,
                4.0,
                96,
                5e-4,
                0,
            ),
            StudySize::Cpu => ("resnet20", "cifar10", 20_000, 5_000, 8.0, 128, 5e-4, 4),
            StudySize::Paper => ("resnet56", "cifar10", 0, 0, 95.0, 512, 1e-4, 4),
        };
        // lr_max, lr_piecewise, longer, fewer images, large batch
        let (lr_max, lr_piecewise, longer, fewer, large) = match self {
            StudySize::Quick => (0.2, 0.1, 4, vec![0.25], 4),
            StudySize::Cpu => (0.4, 0.1, 4, vec![0.5, 0.25], 8),
            StudySize::Paper => (0.8, 0.35, 8, vec![0.8, 0.6, 0.4, 0.2], 16),
        };
        let (lenet_model, lenet_data, lenet_epochs, lenet_batch_size, seeds) = match self {
            StudySize::Quick => ("lenet5", "fashion-mnist", 20.0, 128, 3),
            StudySize::Cpu => ("lenet5", "fashion-mnist", 85.0, 512, 3),
            StudySize::Paper => ("lenet-caffe", "mnist", 85.0, 512, 1),
        };
        // Each diagnosis computes losses and gradients of 6 000 images; 40 000 with the paper's
        // budget.
        let (diagnoses, noise_batches, surface_images) = match self {
            StudySize::Quick => (6, 64, 128),
            StudySize::Cpu => (8, 64, 128),
            StudySize::Paper => (19, 256, 1000),
        };
        Budget {
            model: model.to_owned(),
            data: data.to_owned(),
            images,
            test_images,
            epochs,
            batch_size,
            weight_decay,
            pad,
            lr_max,
            lr_piecewise,
            longer,
            fewer,
            large,
            lenet_model: lenet_model.to_owned(),
            lenet_data: lenet_data.to_owned(),
            lenet_epochs,
            lenet_batch_size,
            diagnoses,
            noise_batches,
            surface_images,
            seeds,
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
