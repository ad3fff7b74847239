//! How runs differ: labels for several runs in one chart.

use std::collections::BTreeMap;

use onecycle_train::Config;

/// Keys, or their tables, that do not change the result of a run.
const UNLISTED: [&str; 4] = ["threads", "device", "checkpoint_steps", "diagnose."];
/// Keys, or their tables, that come first in a label.
const FIRST: [&str; 6] = [
    "model",
    "policy.",
    "optimizer.",
    "epochs",
    "steps",
    "batch_size",
];
/// Keys in a label; the label says if there are more.
const MOST: usize = 3;

/// For each configuration the keys in which it differs from any of the others, with its values:
/// `policy.lr_max 0.4, seed 2`. Empty if all are equal.
pub(crate) fn differences(configs: &[&Config]) -> Vec<String> {
    // A configuration that was read can be written.
    let keys: Vec<BTreeMap<String, String>> = configs
        .iter()
        .map(|config| config.keys().unwrap_or_default())
        .collect();
    let names = keys.iter().flat_map(BTreeMap::keys);
    let mut differing: Vec<&String> = names
        .filter(|name| !UNLISTED.iter().any(|start| name.starts_with(start)))
        .filter(|name| {
            keys.iter()
                .any(|other| other.get(*name) != keys[0].get(*name))
        })
        .collect();
    let rank = |name: &str| {
        let first = FIRST.iter().position(|start| name.starts_with(start));
        first.unwrap_or(FIRST.len())
    };
    differing.sort_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| a.cmp(b)));
    differing.dedup();
    let label = |of: &BTreeMap<String, String>| {
        let value = |name: &&String| match of.get(*name) {
            Some(value) => format!("{name} {}", value.trim_matches('"')),
            None => format!("no {name}"),
        };
        let mut parts: Vec<String> = differing.iter().take(MOST).map(value).collect();
        if differing.len() > MOST {
            parts.push(format!("and {} more", differing.len() - MOST));
        }
        parts.join(", ")
    };
    keys.iter().map(label).collect()
}

#[cfg(test)]
mod tests {
    use onecycle::OneCycle;

    use super::*;

    #[test]
    fn only_differing_keys_are_listed() {
        let one = Config {
            threads: 1,
            ..Config::default()
        };
        let two = Config {
            threads: 2,
            seed: 7,
            policy: OneCycle::new(0.4).into(),
            ..Config::default()
        };
        assert_eq!(differences(&[&one, &one]), ["", ""]);
        assert_eq!(differences(&[]), Vec::<String>::new());
        let labels = differences(&[&one, &two]);
        for (label, parts) in labels.iter().zip([
            ["seed 1", "policy.lr_max 0.2"],
            ["seed 7", "policy.lr_max 0.4"],
        ]) {
            assert!(parts.iter().all(|part| label.contains(part)), "{label}");
            assert!(!label.contains("threads"), "{label}");
            assert!(label.starts_with("policy"), "{label}");
        }
    }
}
