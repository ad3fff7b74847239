//! Trains a network that starts from pretrained weights: features of the frozen network
//! ([`Experiment::add_features`](crate::Experiment::add_features)), and the two runs of `onecycle fit
//! --pretrained`.
//!
//! Howard & Ruder, "Universal Language Model Fine-tuning for Text Classification" (2018,
//! arXiv:1801.06146), train the last layer first (gradual unfreezing, section 3.3), then all layers
//! with discriminative rates (section 3.2). Each of the two is a run with the key `init` and a
//! `[finetune]` table ([`FinetuneConfig`](crate::config::FinetuneConfig)):
//!
//! 1. With `freeze`, only the last layer is trained. The layers below it are frozen and in
//!    evaluation mode, so their outputs are a function of the image. They are computed once and kept
//!    in the folder of the run.
//! 2. Without `freeze`, all layers are trained. The learning rate of the plan is that of the last
//!    layer; the rates of the layers before it fall geometrically to `lowest_rate` times that.

mod features;
mod peak;
mod stages;

pub use peak::suggest_peak;
pub use stages::{body, check_same, head, lengthen, range_test_rates, set_evaluations};
