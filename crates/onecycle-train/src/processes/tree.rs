use onecycle_burn::shards;

/// The sum of successive vectors in a fixed binary tree, with one partial sum per level in memory.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    /// Partial sums of 2^level vectors, the largest first.
    sums: Vec<(u32, Vec<f32>)>,
}

impl Tree {
    /// Adds the next vector.
    pub(crate) fn push(&mut self, values: Vec<f32>) {
        let mut new = (0, values);
        while let Some((level, mut sum)) = self.sums.pop_if(|(level, _)| *level == new.0) {
            shards::add(&mut sum, &new.1, 1.0);
            new = (level + 1, sum);
        }
        self.sums.push(new);
    }

    /// The sum of all vectors: complete subtrees from the right to the left. Empty without vectors.
    pub(crate) fn sum(self) -> Vec<f32> {
        let mut sums = self.sums.into_iter().rev().map(|(_, sum)| sum);
        let last = sums.next().unwrap_or_default();
        sums.fold(last, |right, mut left| {
            shards::add(&mut left, &right, 1.0);
            left
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In single precision, 1 + 2^-24 is 1, so the sum shows the tree.
    #[test]
    fn neighbours_are_added_first() {
        let tiny = 2.0_f32.powi(-24);
        let sum = |values: &[f32]| {
            let mut tree = Tree::default();
            values.iter().for_each(|value| tree.push(vec![*value]));
            tree.sum()
        };
        assert_eq!(sum(&[1.0, 0.0, tiny, tiny]), [1.0 + 2.0 * tiny]);
        assert_eq!(sum(&[1.0, tiny, tiny, 0.0]), [1.0]);
        assert_eq!(sum(&[1.0, 2.0, 4.0]), [7.0]);
        assert_eq!(sum(&[]), [0.0_f32; 0]);
    }
}
