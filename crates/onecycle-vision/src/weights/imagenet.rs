//! What belongs to networks trained on ImageNet: class names, mean and standard deviation.

use super::catalogue::{IMAGENET_MEAN, IMAGENET_STD};
use crate::dataset::Statistics;

/// The identifiers and names of the classes from WordNet, one class per line, in the order of the
/// logits: that of the identifiers. Of several names the first; the identifier tells equal ones
/// apart.
const CLASSES: &str = include_str!("imagenet_classes.txt");

/// Names of the 1000 classes of ImageNet (ILSVRC 2012) in the order of the logits. They are unique.
///
/// ```
/// let classes = onecycle_vision::weights::imagenet_classes();
/// assert_eq!((classes.len(), classes[0].as_str()), (1000, "tench"));
/// ```
pub fn imagenet_classes() -> Vec<String> {
    let names = CLASSES.lines().filter_map(|line| line.split_once(' '));
    names.map(|(_, name)| name.to_owned()).collect()
}

/// Mean and standard deviation of ImageNet's training images, as torchvision and most weights of
/// timm use them.
pub fn imagenet_statistics() -> Statistics {
    Statistics {
        mean: IMAGENET_MEAN.to_vec(),
        std: IMAGENET_STD.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_unique_and_in_the_order_of_their_identifiers() {
        let identifiers: Vec<&str> = CLASSES.lines().map(|line| &line[..9]).collect();
        assert!(identifiers.is_sorted_by(|a, b| a < b));
        let mut names = imagenet_classes();
        assert_eq!(names[281], "tabby");
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 1000);
    }
}
