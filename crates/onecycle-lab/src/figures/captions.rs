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

/// For [`super::range_test`].
pub(super) const RANGE_TEST: &str = "Training loss while the learning rate climbed from far too small to far too large, \
    before the training began: each update, and smoothed without lag. The loss stands still, falls, and rises again; \
    the maximum for one cycle is where it has clearly risen. Curves of several weight decays show which of them allows \
    a larger rate or a lower loss. Compare: Smith, “Cyclical learning rates” (2017), section 3.3, and “A disciplined \
    approach” (2018), figures 6 and 7.";

/// For the noise scale of [`super::diagnosis`].
pub(super) const DIAGNOSE_NOISE: &str = "Batch size at which the noise of the gradient is as large as the gradient, measured \
    on augmented training images along the run, with the learning rate. It grows as the loss falls: late batches carry \
    less gradient. Larger batches than this bring little; far smaller ones make the training a random walk, which a \
    large learning rate makes wider. Compare: McCandlish et al., “An Empirical Model of Large-Batch Training” (2018), \
    figure 4 and section 2.2; Smith & Le (2018).";

/// For the sharpness of [`super::diagnosis`].
pub(super) const DIAGNOSE_SHARPNESS: &str = "Largest curvature of the training loss, and how far the loss rises within \
    a small box around the weights, along the run. Both are large while little is learnt yet. A large learning rate is \
    said to drive the network out of sharp minima: look whether they fall while it is high, and what is left at the end, \
    which can be compared with other runs on the same data. Compare: Keskar et al., “On large-batch training” \
    (2017), metric 2.1; Hochreiter & Schmidhuber, “Flat minima” (1997); Jastrzębski et al., “Three factors” (2017).";

/// For the gap of [`super::diagnosis`].
pub(super) const DIAGNOSE_GAP: &str = "Validation loss less training loss of the network as it stood, both in evaluation \
    and without augmentation, so that the two differ by nothing but the images. Large learning rates regularise: it \
    should open late. Compare: Smith, “A disciplined approach” (2018), section 3.";

/// For the slices of [`super::diagnosis`].
pub(super) const DIAGNOSE_SLICES: &str = "Training loss along random directions through the weights, each filter of a \
    direction as long as that of the network, so that networks can be compared whatever the scale of their weights. \
    A wide, shallow valley is a flat minimum. Compare: Li et al., “Visualizing the Loss Landscape of Neural Nets” \
    (2018), figures 3 and 4.";
