//! Suggestions for unknown words: the same thing under its name here, or the most similar known word.

/// Schedulers and optimizers of other tools, in lower case without separators, with their names here.
///
/// PyTorch (`torch.optim.lr_scheduler`), optax, fastai, Keras, timm and Hugging Face's
/// `get_scheduler`.
const ELSEWHERE: &[(&str, &str)] = &[
    // PyTorch
    ("onecyclelr", "torch_one_cycle"),
    ("cycliclr", "torch_cyclic"),
    ("multisteplr", "torch_multi_step"),
    ("steplr", "torch_step"),
    ("exponentiallr", "torch_exponential"),
    ("cosineannealinglr", "torch_cosine_annealing"),
    ("cosineannealing", "torch_cosine_annealing"),
    (
        "cosineannealingwarmrestarts",
        "torch_cosine_annealing_warm_restarts",
    ),
    ("linearlr", "torch_linear"),
    ("polynomiallr", "torch_polynomial"),
    ("constantlr", "torch_constant"),
    ("sequentiallr", "torch_sequential"),
    ("chainedscheduler", "product"),
    ("lambdalr", "piecewise_constant"),
    ("multiplicativelr", "piecewise_constant"),
    // It watches a loss; a plan is fixed before the run.
    ("reducelronplateau", "warmup_stable_decay"),
    ("plateau", "warmup_stable_decay"),
    // optax
    ("cosineonecycleschedule", "optax_cosine_onecycle"),
    ("linearonecycleschedule", "optax_linear_onecycle"),
    ("warmupcosinedecayschedule", "optax_warmup_cosine_decay"),
    ("warmupcosinedecay", "optax_warmup_cosine_decay"),
    ("cosinedecayschedule", "optax_cosine_decay"),
    ("sgdrschedule", "optax_sgdr"),
    ("piecewiseconstantschedule", "optax_piecewise_constant"),
    (
        "piecewiseinterpolateschedule",
        "optax_piecewise_interpolate",
    ),
    ("polynomialschedule", "optax_polynomial"),
    ("linearschedule", "optax_linear"),
    ("exponentialdecay", "optax_exponential_decay"),
    ("joinschedules", "optax_join"),
    ("constantschedule", "optax_constant"),
    // fastai
    ("fitonecycle", "fastai_one_cycle"),
    ("fitflatcos", "fastai_flat_cos"),
    ("flatcos", "fastai_flat_cos"),
    ("fitsgdr", "fastai_sgdr"),
    ("combinedcos", "fastai_combined_cos"),
    ("combinescheds", "fastai_combine_scheds"),
    // Keras, timm, Hugging Face, and common short names
    ("onecycle", "one_cycle"),
    ("1cycle", "one_cycle"),
    ("superconvergence", "one_cycle"),
    ("cyclic", "clr"),
    ("cyclical", "clr"),
    ("triangular", "clr"),
    ("cosinedecay", "cosine"),
    ("cosinelrscheduler", "cosine"),
    ("cosineannealingwarmup", "optax_warmup_cosine_decay"),
    ("cosinewithwarmup", "optax_warmup_cosine_decay"),
    ("warmupcosine", "optax_warmup_cosine_decay"),
    ("cosinewarmup", "optax_warmup_cosine_decay"),
    ("cosinewithrestarts", "cosine_restarts"),
    ("cosinewithhardrestarts", "cosine_restarts"),
    ("cosinedecayrestarts", "cosine_restarts"),
    ("sgdr", "cosine_restarts"),
    ("warmrestarts", "cosine_restarts"),
    ("inversetimedecay", "polynomial"),
    ("poly", "polynomial"),
    ("polynomialdecay", "polynomial"),
    ("lineardecay", "linear"),
    ("warmuplinear", "trapezoid"),
    ("linearwithwarmup", "trapezoid"),
    ("constantwithwarmup", "warmup"),
    ("warmupconstant", "warmup"),
    ("linearwarmup", "warmup"),
    ("wsd", "warmup_stable_decay"),
    ("warmupstabledecay", "warmup_stable_decay"),
    ("stepdecay", "step"),
    ("multistep", "piecewise_constant"),
    ("piecewise", "piecewise_constant"),
    ("fixed", "constant"),
    ("none", "constant"),
    // Optimizers
    ("momentum", "sgd"),
    ("nesterov", "sgd"),
    ("sgdw", "sgd"),
    ("adamax", "adam"),
    ("nadam", "adam"),
    ("nadamw", "adamw"),
    ("radam", "adamw"),
    ("lamb", "adamw"),
    ("lion", "adamw"),
    ("adagrad", "rmsprop"),
    ("adadelta", "rmsprop"),
    ("rms", "rmsprop"),
];

/// The known word that `word` stands for: its name in another tool, or the most similar one.
pub(super) fn meant<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let plain: String = word
        .chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect();
    let named = |name: &str| known.iter().find(|other| **other == name).copied();
    let here = |&(elsewhere, here): &(&str, &str)| (elsewhere == plain).then(|| named(here))?;
    let same = known
        .iter()
        .find(|other| other.replace(['_', '-'], "") == plain);
    same.copied()
        .or_else(|| ELSEWHERE.iter().find_map(here))
        .or_else(|| nearest(word, known))
}

/// The known word most similar to `word` without regard to case, if one is similar enough.
pub(super) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let word = word.to_lowercase();
    known
        .iter()
        .map(|other| (distance(&word, other), *other))
        .filter(|(distance, other)| *distance <= (word.len().max(other.len()) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, other)| other)
}

/// Number of letters to insert, remove, replace, or exchange with their neighbour (Levenshtein's
/// distance, with transpositions).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    // `rows[i][j]` is the distance of the first `i` letters of `a` to the first `j` of `b`.
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    rows[0] = (0..=b.len()).collect();
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = least;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use onecycle::Preset;

    use super::*;

    #[test]
    fn distances_count_changed_letters() {
        for (a, b, expected) in [
            ("kitten", "sitting", 3),
            ("", "ab", 2),
            ("ab", "ab", 0),
            ("adma", "adam", 1),
        ] {
            assert_eq!(distance(a, b), expected);
            assert_eq!(distance(b, a), expected);
        }
    }

    #[test]
    fn names_of_other_tools_are_known_here() {
        const OPTIMIZERS: [&str; 5] = ["sgd", "adam", "adamw", "rmsprop", "muon"];
        for (index, (elsewhere, here)) in ELSEWHERE.iter().enumerate() {
            assert!(
                Preset::KINDS.contains(here) || OPTIMIZERS.contains(here),
                "{elsewhere}: {here} is not a kind"
            );
            let plain = elsewhere
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
            assert!(plain, "{elsewhere}");
            let again = ELSEWHERE[..index]
                .iter()
                .any(|(other, _)| other == elsewhere);
            assert!(!again, "{elsewhere} twice");
        }
        for (word, here) in [
            ("OneCycleLR", "torch_one_cycle"),
            ("CosineAnnealingLR", "torch_cosine_annealing"),
            ("Cosine", "cosine"),
            ("StepLR", "torch_step"),
            ("MultiStepLR", "torch_multi_step"),
            ("ReduceLROnPlateau", "warmup_stable_decay"),
            ("WarmupCosine", "optax_warmup_cosine_decay"),
            ("flat_cos", "fastai_flat_cos"),
            ("ExponentialLR", "torch_exponential"),
            ("Linear", "linear"),
            ("polynomial_decay", "polynomial"),
            ("cosine_onecycle_schedule", "optax_cosine_onecycle"),
            ("one_cycel", "one_cycle"),
            ("one-cycle", "one_cycle"),
        ] {
            assert_eq!(meant(word, Preset::KINDS), Some(here), "{word}");
        }
        for (word, here) in [
            ("AdamW", "adamw"),
            ("SGD", "sgd"),
            ("NAdam", "adam"),
            ("adma", "adam"),
        ] {
            assert_eq!(meant(word, &OPTIMIZERS), Some(here), "{word}");
        }
        assert_eq!(meant("zigzag", Preset::KINDS), None);
    }
}
