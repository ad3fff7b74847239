//! Configurations: merging of layers, and every preset to TOML and back.

use crate::presets;

use std::{collections::BTreeSet, path::PathBuf};

use onecycle::{Preset, Run};
use onecycle_train::{
    Config, ConfigError, FileError,
    config::{DataConfig, Layers},
    experiment,
};

/// A configuration file in a temporary folder.
struct File {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

fn file(text: &str) -> File {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.toml");
    std::fs::write(&path, text).unwrap();
    File {
        _folder: folder,
        path,
    }
}

fn read(text: &str) -> Result<Config, ConfigError> {
    Config::read(&file(text).path)
}

fn set(pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
    pairs
        .iter()
        .try_fold(Layers::new().unwrap(), |layers, (key, value)| {
            layers.set(key, value)
        })?
        .resolve()
}

#[test]
fn the_table_of_presets_has_every_kind() {
    let table: BTreeSet<&str> = presets::CASES.iter().map(|case| case.kind).collect();
    let all: BTreeSet<&str> = Preset::KINDS.iter().copied().collect();
    assert_eq!(table, all);
}

#[test]
fn every_preset_is_the_same_after_toml_and_back() {
    for case in presets::CASES {
        let config = read(&case.file()).unwrap_or_else(|error| panic!("{}: {error}", case.kind));
        assert_eq!(config.policy.preset.kind(), case.kind);
        let text = config.to_toml().unwrap();
        let again = read(&text).unwrap();
        assert_eq!(again, config, "{}", case.kind);
        let (plan, same) = (
            experiment::plan(&config, None).unwrap(),
            experiment::plan(&again, None).unwrap(),
        );
        assert_eq!(plan, same);
        // The core library, from the same keys.
        let policy = config.policy.preset.clone();
        let policy = onecycle::Policy::from_preset(policy).unwrap();
        let alone = policy.resolve(&Run::steps(case.steps())).unwrap();
        assert_eq!(plan.steps(), case.steps(), "{}", case.kind);
        for step in 0..plan.steps() {
            assert_eq!(plan.at(step), alone.at(step), "{} at {step}", case.kind);
        }
    }
}

#[test]
fn all_common_keys_of_a_policy_round_trip() {
    let text = r#"
        seed = 9223372036854775807
        steps = 100
        threads = 2
        checkpoint_steps = 7
        [data]
        path = "photos"
        validation = 0.1
        [augment]
        pad = 2
        border = "reflect"
        [optimizer]
        kind = "adamw"
        weight_decay = 0.01
        clip_norm = 1.5
        no_decay_on_bias_and_norm = false
        groups = [{ select = { prefix = "fc" }, lr = 0.1, weight_decay = 1.0 }]
        [policy]
        kind = "one_cycle"
        lr_max = 0.01
        annihilation = "2500sa"
        momentum = "none"
        at_end = "error"
        weight_decay = [["0ep", 1e-4], ["10ep", 5e-4]]
        batch_size = [["0ep", 64], ["1.5ep", 128]]
    "#;
    let config = read(text).unwrap();
    assert_eq!(config.data.name, None);
    assert!(config.policy.weight_decay.is_some() && config.policy.batch_size.is_some());
    assert_eq!(config.optimizer.groups.len(), 1);
    let again = read(&config.to_toml().unwrap()).unwrap();
    assert_eq!(again, config);
    // As in the run.toml of a run.
    let within: Config = toml::from_str(&config.to_toml().unwrap()).unwrap();
    assert_eq!(within, config);
}

#[test]
fn the_defaults_round_trip() {
    let config = Config::default();
    config.check().unwrap();
    assert_eq!(read(&config.to_toml().unwrap()).unwrap(), config);
    assert_eq!(read("").unwrap(), config);
}

#[test]
fn a_number_too_large_for_toml_is_rejected() {
    let config = Config {
        seed: u64::MAX,
        ..Config::default()
    };
    // Once written, it could not be read, and the run could not be resumed.
    assert!(matches!(
        config.check(),
        Err(ConfigError::File(FileError::ToToml { .. }))
    ));
}

#[test]
fn another_kind_replaces_the_table_and_the_same_kind_is_merged() {
    let merged = read("[policy]\nkind = \"one_cycle\"\ndiv = 25.0").unwrap();
    let same_lr = Config::default().policy.preset;
    let (Preset::OneCycle(merged), Preset::OneCycle(default)) = (merged.policy.preset, same_lr)
    else {
        panic!("another kind");
    };
    assert_eq!(
        (merged.lr_max, merged.div),
        (default.lr_max, Some(25.0)),
        "what was not given stays"
    );
    let replaced = read("[optimizer]\nkind = \"adamw\"").unwrap();
    assert_eq!(
        replaced.optimizer.config.weight_decay(),
        0.0,
        "AdamW's own default, not SGD's"
    );
    assert!(read("[policy]\nkind = \"torch_one_cycle\"\nlr_max = 0.1\ntotal_steps = 9").is_err());
}

#[test]
fn the_default_rate_suits_the_optimizer_and_the_batch_size() {
    let lr_max = |layers: Layers| match layers.resolve().unwrap().policy.preset {
        Preset::OneCycle(one_cycle) => one_cycle.lr_max,
        other => panic!("{}", other.kind()),
    };
    let layers = |optimizer: &str, batch_size: &str| {
        let layers = Layers::new().unwrap();
        let layers = layers.set("optimizer.kind", optimizer).unwrap();
        layers.set("batch_size", batch_size).unwrap()
    };
    for (optimizer, rates) in [
        ("sgd", [0.0125, 0.05, 0.2, 0.2]),
        ("adam", [0.00125, 0.0025, 0.005, 0.005]),
        ("adamw", [0.00125, 0.0025, 0.005, 0.005]),
        ("rmsprop", [0.000125, 0.00025, 0.0005, 0.0005]),
        ("muon", [0.0125, 0.025, 0.05, 0.05]),
    ] {
        let of_batches = ["8", "32", "128", "512"].map(|batch| lr_max(layers(optimizer, batch)));
        assert_eq!(of_batches, rates, "{optimizer}");
    }
    // 0.005 √(100/128) = 0.004419…, in three digits.
    assert_eq!(lr_max(layers("adamw", "100")), 0.00442);
    let pretrained = Layers::new().unwrap().finetune().unwrap();
    let pretrained = pretrained.set_text("init", "some.safetensors").unwrap();
    assert_eq!(
        lr_max(pretrained),
        0.01,
        "a fifth of 0.05 for batches of 32"
    );
    let per_1024 = layers("sgd", "32").set("optimizer.per_1024_images", "true");
    assert_eq!(lr_max(per_1024.unwrap()), 0.2);
    // The default of batches of 32 images, four times for four times as many.
    let scaled = layers("sgd", "128").scale_linearly(32).unwrap();
    assert_eq!(lr_max(scaled), 0.2);
    let scaled = layers("sgd", "1024").scale_linearly(256).unwrap();
    assert_eq!(lr_max(scaled), 0.8);
    let given = layers("adamw", "8").set("policy.lr_max", "0.3").unwrap();
    assert_eq!(lr_max(given), 0.3);
    let file = file("[policy]\nlr_max = 0.3");
    let given = layers("adamw", "8").file(&file.path).unwrap();
    assert_eq!(lr_max(given), 0.3);
}

#[test]
fn the_order_of_single_settings_does_not_matter() {
    let pairs = [
        ("policy.kind", "torch_one_cycle"),
        ("policy.max_lr", "0.1"),
        ("policy.total_steps", "30"),
    ];
    let forward = set(&pairs).unwrap();
    let mut backward = pairs;
    backward.reverse();
    assert_eq!(set(&backward).unwrap(), forward);
    assert_eq!((forward.steps, forward.epochs), (Some(30), None));
}

#[test]
fn the_last_setting_of_length_and_data_applies() {
    let config = set(&[("epochs", "2"), ("steps", "7")]).unwrap();
    assert_eq!((config.steps, config.epochs), (Some(7), None));
    let config = set(&[("data.name", "mnist"), ("data.path", "photos")]).unwrap();
    let DataConfig { name, path, .. } = config.data;
    assert_eq!((name, path), (None, Some(PathBuf::from("photos"))));
    let both = read("epochs = 1\nsteps = 2").unwrap_err().to_string();
    assert!(both.contains("`epochs` or `steps`"), "{both}");
    let both = read("[data]\nname = \"mnist\"\npath = \"x\"").unwrap_err();
    assert!(
        both.to_string().contains("`data.name` or `data.path`"),
        "{both}"
    );
}

#[test]
fn text_stays_text() {
    let layers = Layers::new().unwrap();
    let config = layers
        .set_text("data.path", "2024")
        .unwrap()
        .resolve()
        .unwrap();
    assert_eq!(config.data.path, Some(PathBuf::from("2024")));
    // A value of several lines cannot set other keys.
    let sneaky = set(&[("model", "\"lenet5\"\nseed = 3")]).unwrap_err();
    assert!(
        sneaky.to_string().contains("model = ") && sneaky.to_string().contains("one of "),
        "{sneaky}"
    );
}

#[test]
fn the_error_of_an_invalid_file_has_its_line() {
    let file = file("seed = 1\n\nepochs 3\n");
    let error = Config::read(&file.path).unwrap_err().to_string();
    assert!(error.contains("run.toml, line 3: "), "{error}");
    assert!(!error.contains('\n'), "{error}");
}

#[test]
fn a_run_with_too_many_steps_is_rejected() {
    for pair in [("steps", "100000000000"), ("epochs", "1e30")] {
        let config = set(&[pair]).unwrap();
        let error = experiment::plan(&config, Some(60_000)).unwrap_err();
        assert!(error.to_string().starts_with(pair.0), "{error}");
    }
}
