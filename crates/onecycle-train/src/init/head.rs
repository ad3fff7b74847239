//! The last layer of a network, whose rows are the classes.

use std::collections::BTreeSet;

use onecycle_burn::state::TensorMap;

/// The last linear layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    /// Path of the layer in the network.
    layer: String,
}

/// Where the rows of the last layer come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Rows {
    /// The same rows.
    Same,
    /// For each class, the index of its row.
    Sorted(Vec<usize>),
    /// New ones, for this reason.
    New(String),
}

impl Head {
    /// The last layer of a network whose tensors have these `shapes`, in the order of the layers:
    /// the last weight of rank 2, if it has a row per class.
    pub(super) fn find(shapes: &[(String, Vec<usize>)], classes: usize) -> Option<Self> {
        let is_weight = |name: &str| name.rsplit('.').next() == Some("weight");
        let (name, shape) = shapes
            .iter()
            .rev()
            .find(|(name, shape)| is_weight(name) && shape.len() == 2)?;
        let layer = name.trim_end_matches("weight").trim_end_matches('.');
        (shape.first() == Some(&classes)).then(|| Head {
            layer: layer.to_owned(),
        })
    }

    /// Path of the layer in the network.
    pub(super) fn layer(&self) -> &str {
        &self.layer
    }

    /// Possible names of its tensors.
    pub(super) fn names(&self) -> [String; 2] {
        ["weight", "bias"].map(|tensor| match self.layer.as_str() {
            "" => tensor.to_owned(),
            layer => format!("{layer}.{tensor}"),
        })
    }

    /// Number of rows in a file.
    pub(super) fn outputs(&self, weights: &TensorMap) -> Option<usize> {
        let [weight, _] = self.names();
        weights.get(&weight)?.shape().to_vec().first().copied()
    }

    /// Whether a file has none of its tensors.
    pub(super) fn is_missing(&self, weights: &TensorMap) -> bool {
        self.names().iter().all(|name| !weights.contains_key(name))
    }

    /// Whether the tensors of the layer in a file have the same shapes as in the network, except
    /// for the number of rows.
    pub(super) fn only_classes_differ(
        &self,
        shapes: &[(String, Vec<usize>)],
        weights: &TensorMap,
    ) -> bool {
        let outputs = self.outputs(weights);
        let names = self.names();
        let mut of_layer = shapes.iter().filter(|(name, _)| names.contains(name));
        of_layer.all(|(name, shape)| {
            weights.get(name).is_some_and(|data| {
                let found = data.shape().to_vec();
                found.len() == shape.len()
                    && found.first().copied() == outputs
                    && found[1..] == shape[1..]
            })
        })
    }
}

/// Where the rows for `classes` come from in a layer of `count` rows, for the classes `known` if the
/// file names them.
pub(super) fn rows(known: Option<&[String]>, count: usize, classes: &[String]) -> Rows {
    if count != classes.len() {
        return Rows::New(format!(
            "the weights are for {count} classes, the data have {}",
            classes.len()
        ));
    }
    let Some(known) = known else {
        return Rows::Same;
    };
    if known == classes {
        return Rows::Same;
    }
    let sets = [known, classes].map(|names| names.iter().collect::<BTreeSet<_>>());
    if sets[0] == sets[1] {
        let place = |class: &String| known.iter().position(|other| other == class);
        return Rows::Sorted(classes.iter().filter_map(place).collect());
    }
    let other = classes.iter().find(|class| !known.contains(class));
    Rows::New(format!(
        "the weights are for other classes, not for `{}`",
        other.map_or("", String::as_str)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names<const N: usize>(names: [&str; N]) -> Vec<String> {
        names.map(str::to_owned).to_vec()
    }

    #[test]
    fn rows_follow_the_names_of_the_classes() {
        let known = names(["cat", "dog", "eel"]);
        assert_eq!(rows(Some(&known), 3, &known), Rows::Same);
        assert_eq!(rows(None, 3, &known), Rows::Same);
        let order = names(["eel", "cat", "dog"]);
        assert_eq!(rows(Some(&known), 3, &order), Rows::Sorted(vec![2, 0, 1]));
        let new = |known: Option<&[String]>, count, classes: &[String]| {
            matches!(rows(known, count, classes), Rows::New(_))
        };
        assert!(new(Some(&known), 3, &names(["cat", "dog", "fox"])));
        assert!(new(Some(&known), 3, &names(["cat", "dog"])));
        assert!(new(None, 10, &known));
    }

    #[test]
    fn the_head_is_the_last_matrix_with_a_row_per_class() {
        let shape = |name: &str, shape: &[usize]| (name.to_owned(), shape.to_vec());
        let shapes = [
            shape("conv.weight", &[8, 3, 3, 3]),
            shape("fc1.weight", &[5, 8]),
            shape("fc1.bias", &[5]),
            shape("fc2.weight", &[3, 5]),
            shape("fc2.bias", &[3]),
        ];
        let head = Head::find(&shapes, 3).expect("a head");
        assert_eq!(head.layer(), "fc2");
        assert_eq!(head.names(), ["fc2.weight", "fc2.bias"]);
        assert_eq!(Head::find(&shapes, 4), None);
        let lone = [shape("weight", &[2, 5])];
        let head = Head::find(&lone, 2).expect("a head");
        assert_eq!(head.names(), ["weight", "bias"]);
    }
}
