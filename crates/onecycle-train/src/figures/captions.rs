//! Captions of the figures of a run: what they show and what to compare them with.

/// For [`super::schedule`].
pub(super) const SCHEDULE: &str = "Learning rate and momentum of every update. A 1cycle run has two straight legs of \
    equal length, up to the maximum and back, and a last phase, the annihilation, in which the learning rate falls far \
    below its start. Momentum mirrors it: it is lowest where the learning rate is highest. Compare with Smith, “A \
    disciplined approach to neural network hyper-parameters” (2018), section 4, and Smith & Topin, “Super-convergence” \
    (2017).";

/// For [`super::other_tracks`].
pub(super) const OTHER_TRACKS: &str = "Weight decay and batch size of every update. Smith, “A disciplined approach” \
    (2018), section 4.4, finds that a constant weight decay works best. Keskar et al., “On large-batch training” \
    (2017), start with small batches and continue with large ones. The gap and the accuracy in this report show whether \
    the change helped.";

/// For [`super::losses`].
pub(super) const LOSSES: &str = "Training loss of each step and of each epoch, and validation loss after each epoch. \
    While the learning rate is high, the validation loss may be flat or fluctuate, because large steps regularise. It \
    should fall quickly in the last phases. A validation loss that rises while the training loss falls means \
    overfitting. Compare with Smith, “A disciplined approach” (2018), section 3.";

/// For [`super::losses_over_lr`].
pub(super) const LOSSES_OVER_LR: &str = "The same losses over the learning rate, connected in the order of training. \
    The curve runs to the right while the learning rate rises and to the left while it falls. The distance between both \
    ways is what the cycle gained. A jump upwards at the right end means that the maximum was too high. Compare with \
    Smith & Topin, “Super-convergence” (2017), and the range test of Smith, “Cyclical learning rates” (2017), section \
    3.3.";

/// For [`super::gap`].
pub(super) const GAP: &str = "Validation loss minus training loss, with the learning rate. Large learning rates \
    regularise: the gap should stay small while the learning rate is high and open only towards the end, when it is \
    low. A gap that opens early means too little regularisation; compare with Smith, “A disciplined approach” (2018), \
    section 3. Training loss is measured on augmented images before each update, so the gap can be below zero.";

/// For [`super::accuracy`].
pub(super) const ACCURACY: &str = "Accuracy on the training images, augmented and each measured before its update, and \
    on the validation set after each epoch. Super-convergence (Smith & Topin, 2017) appears as a steep rise towards the \
    end, when the learning rate falls. In the paper, the final accuracy equals that of several times as many steps with \
    piecewise constant learning rates.";

/// For [`super::reliability`].
pub(super) const RELIABILITY: &str = "Accuracy of the predictions with similar confidence, in 15 bins. On the dashed \
    line the network is right as often as its probabilities say. Below it, the network is too sure of itself; above it, \
    not sure enough. The expected calibration error is the mean distance from the line over all images. Compare with \
    Guo et al., “On calibration of modern neural networks” (2017), figure 1. Label smoothing and mixup make a network \
    less sure.";

/// For [`super::rates_by_depth`].
pub(super) const RATES_BY_DEPTH: &str = "Learning rate of every group of layers at every update, the last layer first. \
    The first layers of a pretrained network are the most general and change least. Compare with Howard & Ruder, \
    “Universal Language Model Fine-tuning for Text Classification” (2018), section 3.2.";

/// For [`super::of_head`].
pub(super) const STAGE_1: &str = "The run before this one, which trained the last layer alone on features of the \
    frozen network. Compare with Howard & Ruder, “Universal Language Model Fine-tuning for Text Classification” (2018), \
    section 3.3.";
