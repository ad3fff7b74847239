//! All experiments with a tiny budget: their files, and that nothing is trained twice.

use std::{fs, path::Path};

use onecycle_studies::{
    StudyError,
    reproduce::{self, Budget, ClaimVerdict, ExperimentResult, Protocol, StudySize},
    study::{Part, RunSpec},
};
use onecycle_train::{
    RunError, TrainError,
    diagnose::{self, Diagnosis},
    files,
    observer::{Observer, Silent},
    record::StepRecord,
    run_folder::RunFolder,
};

use tempfile::TempDir;

/// The quick budget with LeNet-5 and very few images.
fn protocol(seeds: usize) -> Protocol {
    let quick = Protocol::of(StudySize::Quick);
    Protocol {
        budget: Budget {
            model: "lenet5".to_owned(),
            images: 64,
            test_images: 32,
            epochs: 2.0,
            batch_size: 16,
            lr_max: 0.05,
            lr_piecewise: 0.01,
            longer: 2,
            longer_seeds: seeds,
            fewer: vec![0.25],
            large: 2,
            lenet_epochs: 4.0,
            lenet_batch_size: 16,
            diagnoses: 2,
            noise_batches: 4,
            surface_images: 32,
            seeds,
            ..quick.budget.clone()
        },
        ..quick
    }
}

/// Counts updates and stops after a number of them.
#[derive(Default)]
struct Watch {
    updates: u64,
    range_tests: usize,
    stop_after: Option<u64>,
}

impl Observer for Watch {
    fn step(&mut self, _: &StepRecord) {
        self.updates += 1;
    }

    fn note(&mut self, text: &str) {
        self.range_tests += usize::from(text.starts_with("range test"));
    }

    fn stop(&mut self) -> bool {
        self.stop_after.is_some_and(|limit| self.updates >= limit)
    }
}

#[test]
fn every_experiment_leaves_its_claims_and_figures() {
    let home = TempDir::new().unwrap();
    let all = reproduce::named("all").unwrap();
    let protocol = protocol(1);
    let mut watch = Watch::default();
    let results = reproduce::run(&all, &protocol, home.path(), &mut watch)
        .unwrap()
        .unwrap();
    assert_eq!(watch.range_tests, 4, "one test per weight decay");
    let page = fs::read_to_string(home.path().join("reproduce.html")).unwrap();
    assert_eq!(results.len(), 14);
    for result in &results {
        let name = &result.name;
        assert!(!result.claims.is_empty(), "{name}");
        for claim in &result.claims {
            // One seed gives no confidence interval. Only the schedule does not depend on chance.
            let seen = match name.as_str() {
                "schedule" => ClaimVerdict::Seen,
                "full-cycle" if claim.text.contains("93.5 %") => ClaimVerdict::NeedsPaper,
                _ => ClaimVerdict::NotDecided,
            };
            assert_eq!(claim.verdict, seen, "{name}: {claim:?}");
            assert!(
                !claim.published.is_empty() && !claim.ours.is_empty() && !claim.source.is_empty()
            );
        }
        assert!(!result.figures.is_empty(), "{name}");
        for figure in &result.figures {
            for ending in ["svg", "png", "csv"] {
                let path = home.path().join(figure).with_extension(ending);
                assert!(
                    fs::metadata(&path).unwrap().len() > 40,
                    "{}",
                    path.display()
                );
            }
            let id = figure.file_name().unwrap().to_str().unwrap();
            assert_eq!(
                page.matches(&format!("<figure class=\"card\" id=\"{id}\">"))
                    .count(),
                1,
                "{id}"
            );
        }
        assert!(page.contains(&format!("<h2 id=\"{name}\">")), "{name}");
        let own = files::read_text(&home.path().join(name).join("result.json")).unwrap();
        assert_eq!(
            &serde_json::from_str::<ExperimentResult>(&own).unwrap(),
            result
        );
        assert!(home.path().join(name).join("index.html").exists());
    }
    let json = files::read_text(&home.path().join("reproduce.json")).unwrap();
    assert_eq!(
        serde_json::from_str::<Vec<ExperimentResult>>(&json).unwrap(),
        results
    );
    noise_and_sharpness_are_measured(home.path(), &results);

    // Repeating all experiments, or one of them, trains nothing.
    for experiments in [all, reproduce::named("momentum").unwrap()] {
        let mut watch = Watch::default();
        reproduce::run(&experiments, &protocol, home.path(), &mut watch)
            .unwrap()
            .unwrap();
        assert_eq!((watch.updates, watch.range_tests), (0, 0));
    }
    other_settings_are_refused(home.path());
}

/// Diagnoses are recorded during one cycle and at the end of the runs compared with it; figures
/// show the recorded values.
fn noise_and_sharpness_are_measured(folder: &Path, results: &[ExperimentResult]) {
    let diagnoses = |label: &str| {
        let run = folder.join("runs").join(format!("{label}-seed1"));
        diagnose::read_during_run(&RunFolder::look(&run).unwrap()).unwrap()
    };
    let steps_of = |diagnoses: &[Diagnosis]| -> Vec<u64> {
        diagnoses.iter().map(|one| one.conditions.step).collect()
    };
    let sharp = |one: &Diagnosis| {
        assert_eq!(one.problems, Vec::<String>::new());
        let eigenvalue = one.hessian.as_ref().unwrap().curvature.eigenvalues[0].value;
        let sharpness = one.sharpness.unwrap().sharpness;
        for value in [eigenvalue, sharpness] {
            assert!(value.is_finite() && value > 0.0, "{one:?}");
        }
        (eigenvalue, sharpness)
    };
    let cycle = diagnoses("one-cycle");
    // Two epochs of four updates.
    assert_eq!(steps_of(&cycle), [4, 8]);
    for one in &cycle {
        sharp(one);
        let noise = one.noise.unwrap();
        assert_eq!((noise.batches, noise.batch_size), (4, 16));
        let trace = noise.micro_batches.trace.value;
        assert!(trace.is_finite() && trace > 0.0);
        assert!(noise.micro_batches.gradient.value.is_finite());
    }
    // Half and twice the batch size, for the same epochs.
    for (label, last) in [
        ("small-batch", 16),
        ("large-batch-same-rate", 4),
        ("piecewise-epochs", 8),
    ] {
        let found = diagnoses(label);
        assert_eq!(steps_of(&found), [last], "{label}");
        sharp(&found[0]);
        assert!(found[0].noise.is_none());
    }
    // No other run is diagnosed.
    assert!(diagnoses("momentum-0.90").is_empty());
    assert!(diagnoses("one-cycle-easy-first").is_empty());

    let [noise, minima] = ["noise-scale", "flat-minima"]
        .map(|name| results.iter().find(|result| result.name == name).unwrap());
    let csv = |result: &ExperimentResult, figure: &str| {
        let path = Path::new(&result.name).join("figures").join(figure);
        assert!(result.figures.contains(&path), "{:?}", result.figures);
        files::read_text(&folder.join(path).with_extension("csv")).unwrap()
    };
    let trace = cycle[1].noise.unwrap().micro_batches.trace.value;
    let parts = csv(noise, "noise-scale-cycle-parts");
    assert!(parts.contains(&format!("tr Σ,8.0,{trace:?}")), "{parts}");
    assert!(csv(noise, "noise-scale-cycle").contains("\nnoise scale,8.0,"));
    let (eigenvalue, sharpness) = sharp(&cycle[1]);
    let along = csv(minima, "flat-minima-cycle");
    assert!(
        along.contains(&format!("largest eigenvalue,8.0,{eigenvalue:?}")),
        "{along}"
    );
    assert!(
        along.contains(&format!("ε-sharpness (%),8.0,{sharpness:?}")),
        "{along}"
    );
    for figure in ["flat-minima-eigenvalue", "flat-minima-box"] {
        let csv = csv(minima, figure);
        for variant in &minima.variants {
            let rows = csv.lines().filter(|row| row.starts_with(&variant.label));
            assert_eq!(rows.count(), 3, "{csv}");
        }
    }
    assert_eq!((noise.claims.len(), minima.claims.len()), (4, 6));
    for claim in &minima.claims[1..] {
        assert!(
            claim.ours.contains("ratio") && !claim.ours.contains("nan"),
            "{claim:?}"
        );
    }
}

fn other_settings_are_refused(folder: &Path) {
    let mut other = protocol(1);
    other.budget.epochs = 3.0;
    for name in ["full-cycle", "weight-decay"] {
        let experiments = reproduce::named(name).unwrap();
        let error = reproduce::run(&experiments, &other, folder, &mut Silent).unwrap_err();
        assert!(
            matches!(
                error,
                StudyError::Train(TrainError::Run(RunError::OtherSettings { .. }))
            ),
            "{error}"
        );
        assert!(error.to_string().contains("epochs was 2"), "{error}");
    }
}

#[test]
fn a_stopped_reproduction_continues() {
    let home = TempDir::new().unwrap();
    let momentum = reproduce::named("momentum").unwrap();
    let protocol = protocol(2);
    // Five variants of two seeds, two epochs of four updates.
    let whole = 5 * 2 * 8;
    let (mut updates, mut stops) = (0, 0);
    let results = loop {
        let mut watch = Watch {
            stop_after: Some(11),
            ..Watch::default()
        };
        let outcome = reproduce::run(&momentum, &protocol, home.path(), &mut watch).unwrap();
        updates += watch.updates;
        if let Some(results) = outcome {
            break results;
        }
        stops += 1;
        assert!(!home.path().join("momentum/result.json").exists());
        assert!(stops < 20);
    };
    assert_eq!(updates, whole);
    let [result] = results.as_slice() else {
        panic!("{results:?}");
    };
    assert_eq!(result.variants.len(), 5);
    for variant in &result.variants {
        assert_eq!(
            (variant.seeds.as_slice(), variant.steps),
            ([1, 2].as_slice(), 8)
        );
        assert!(variant.final_accuracy.half_width.is_some());
    }
    // Measurements from before the stop are kept and not repeated.
    for (label, wanted) in [("one-cycle", vec![4, 8]), ("momentum-0.90", vec![])] {
        let run = home.path().join("runs").join(format!("{label}-seed2"));
        let found = diagnose::read_during_run(&RunFolder::look(&run).unwrap()).unwrap();
        let steps: Vec<u64> = found.iter().map(|one| one.conditions.step).collect();
        assert_eq!(steps, wanted, "{label}");
    }
    // The reverse phase: momentum is highest at the highest rate.
    let steps =
        fs::read_to_string(home.path().join("runs/momentum-opposite-seed1/steps.jsonl")).unwrap();
    let steps: Vec<StepRecord> = steps
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let peak = steps.iter().max_by(|a, b| a.lr.total_cmp(&b.lr)).unwrap();
    assert_eq!((steps[0].momentum, peak.momentum), (Some(0.85), Some(0.95)));
}

/// The runs of a seed do not depend on the other seeds, even if a range test suggests their peak.
#[test]
fn further_seeds_train_only_their_own_runs() {
    let place = TempDir::new().unwrap();
    let experiment = reproduce::named("weight-decay").unwrap();
    let updates = |seeds: usize| {
        let mut watch = Watch::default();
        let (protocol, folder) = (protocol(seeds), place.path());
        let shown = reproduce::run(&experiment, &protocol, folder, &mut watch)
            .unwrap()
            .unwrap();
        for variant in &shown[0].variants {
            assert_eq!(variant.seeds.len(), seeds, "{}", variant.label);
        }
        (watch.updates, watch.range_tests)
    };
    // Four weight decays, two epochs of four updates.
    assert_eq!(updates(1), (4 * 8, 4));
    // Saved range tests are not reported again.
    assert_eq!(updates(3), (2 * 4 * 8, 2 * 4));
    assert_eq!(updates(3), (0, 0));
}

/// One long run per variant, and claims that are left to a larger scale.
#[test]
fn long_runs_may_have_fewer_seeds_or_be_left_out() {
    let place = TempDir::new().unwrap();
    let experiment = reproduce::named("super-convergence").unwrap();
    let mut with = protocol(3);
    with.budget.longer_seeds = 1;
    let mut watch = Watch::default();
    let shown = reproduce::run(&experiment, &with, place.path(), &mut watch)
        .unwrap()
        .unwrap();
    // Four short variants of three seeds and eight updates, two long ones of one seed and sixteen.
    assert_eq!(watch.updates, 4 * 3 * 8 + 2 * 16);
    let seeds = |label: &str| {
        let found = shown[0].variants.iter().find(|one| one.label == label);
        found.unwrap_or_else(|| panic!("{label}")).seeds.clone()
    };
    assert_eq!(seeds("clr"), [1, 2, 3]);
    assert_eq!(seeds("piecewise-long-0.25-images"), [1]);
    for claim in &shown[0].claims {
        let open = claim.ours.contains("one seed") || claim.ours.contains("none of 1");
        assert!(open || claim.ours.contains(" to "), "{claim:?}");
    }

    let mut without = protocol(3);
    without.budget.longer = 0;
    let mut watch = Watch::default();
    let shown = reproduce::run(&experiment, &without, place.path(), &mut watch)
        .unwrap()
        .unwrap();
    assert_eq!(watch.updates, 0, "the short runs are those of before");
    let verdicts = shown[0].claims.iter().map(|claim| claim.verdict);
    let left = verdicts.filter(|verdict| *verdict == ClaimVerdict::NeedsCpu);
    assert_eq!((left.count(), shown[0].claims.len()), (5, 6));
}

#[test]
fn experiments_of_every_size_fit_together() {
    // These budgets are too large to train here. Labels and configurations can still be checked:
    // one label means one configuration, and all are valid.
    for size in [StudySize::Quick, StudySize::Cpu, StudySize::Paper] {
        let protocol = Protocol::of(size);
        let mut known: Vec<RunSpec> = Vec::new();
        for experiment in reproduce::all() {
            if experiment.name() == "weight-decay" {
                continue; // It starts with range tests.
            }
            let folder = Path::new("nowhere");
            let own = Protocol {
                budget: experiment.budget(&protocol.budget).clone(),
                ..protocol
            };
            let specs = experiment
                .prepare(&own, (folder, Part::All), &mut Silent)
                .unwrap()
                .unwrap();
            for spec in specs {
                let (name, config) = (spec.name(), &spec.config);
                config
                    .check()
                    .unwrap_or_else(|error| panic!("{name}: {error}"));
                let images = match config.data.limit {
                    0 => 50_000,
                    limit => limit,
                };
                onecycle_train::experiment::plan(config, Some(images))
                    .unwrap_or_else(|error| panic!("{} {name}: {error}", size.name()));
                if let Some(other) = known.iter().find(|known| known.name() == name) {
                    assert_eq!(*other, spec, "{} {name}", size.name());
                }
                known.push(spec);
            }
        }
        assert!(known.len() > 25 * protocol.budget.seeds, "{}", known.len());
    }
}
