//! What a reader should see in each figure of a run, and what to compare it with.

/// For [`super::schedule`].
pub(super) const SCHEDULE: &str = "Learning rate and momentum at every step, as the updates used them. A 1cycle run \
    shows two straight legs of equal length, up to the maximum and back, and then a last phase, the \
    annihilation, in which the learning rate falls far below where it began. The momentum mirrors it: \
    lowest where the learning rate is highest. Compare: Smith, “A disciplined approach to neural network \
    hyper-parameters” (2018), section 4; Smith & Topin, “Super-convergence” (2017).";

/// For [`super::other_tracks`].
pub(super) const OTHER_TRACKS: &str = "Weight decay and batch size over the run, as the updates used them. \
    Smith, “A disciplined approach” (2018), section 4.4, finds that a constant weight decay does best; \
    Keskar et al., “On large-batch training” (2017), begin with small batches and go on with large ones. \
    The gap and the accuracy in this report should show what moving them was good for.";

/// For [`super::losses`].
pub(super) const LOSSES: &str = "Training loss (each step, and the mean of each epoch) and validation loss after each \
    epoch. While the learning rate is high the validation loss may stand still or swing: the large steps \
    regularise. It should fall quickly in the last phases. A validation loss that rises while the training \
    loss falls means overfitting. Compare: Smith, “A disciplined approach” (2018), section 3.";

/// For [`super::losses_over_lr`].
pub(super) const LOSSES_OVER_LR: &str = "The same losses over the learning rate at which they were measured, joined in \
    the order of training. The path goes right while the learning rate rises and left while it falls; \
    below the way out on the way back is what the cycle gained. A jump upwards at the right end means that \
    the maximum was too high. Compare: Smith & Topin, “Super-convergence” (2017), and the range test of \
    Smith, “Cyclical learning rates” (2017), section 3.3.";

/// For [`super::gap`].
pub(super) const GAP: &str = "Validation loss less training loss, with the learning rate. Large learning rates \
    regularise: the gap should stay small while the learning rate is high and open only towards the end, \
    when it is low. A gap that opens early means that regularisation is missing; compare Smith, “A \
    disciplined approach” (2018), section 3. Training loss is measured on augmented images before each \
    update, so a gap below zero is possible.";

/// For [`super::accuracy`].
pub(super) const ACCURACY: &str = "Share of images classified rightly: of the training images as they came, augmented \
    and each before its update, and of the validation set after each epoch. Super-convergence (Smith & \
    Topin, 2017) shows as a steep rise towards the end, when the learning rate falls; in the paper the \
    accuracy then reached is that of several times as many steps at piecewise constant learning rates.";
