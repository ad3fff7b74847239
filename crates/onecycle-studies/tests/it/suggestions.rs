//! The study of suggestions on a tiny task.

use onecycle_studies::{
    StudyError,
    study::Part,
    suggestions::{self, SuggestionResults, SuggestionStudy, Task},
};
use onecycle_train::{
    RunError, TrainError,
    config::{DataConfig, Layers},
    observer::Observer,
};

/// LeNet-5 on 300 images with a grid of two peaks.
fn task() -> Task {
    let settings = [
        ("model", "lenet5"),
        ("batch_size", "32"),
        ("steps", "20"),
        ("data.limit", "600"),
        ("data.validation", "0.5"),
    ];
    let layers = settings
        .iter()
        .fold(Layers::new().unwrap(), |layers, (key, value)| {
            layers.set(key, value).unwrap()
        });
    Task {
        name: "tiny",
        config: layers.resolve().unwrap(),
        grid: vec![0.05, 0.1],
    }
}

fn study(task: Task) -> SuggestionStudy {
    SuggestionStudy {
        tasks: vec![task],
        seeds: vec![1, 2],
    }
}

/// Counts updates and stops before one of them.
struct Counter {
    updates: u64,
    stop_at: u64,
}

impl Observer for Counter {
    fn search_step(&mut self, _lr: f64) {
        self.updates += 1;
    }

    fn stop(&mut self) -> bool {
        self.updates >= self.stop_at
    }
}

fn run(folder: &std::path::Path, stop_at: u64) -> (Option<SuggestionResults>, u64) {
    let mut counter = Counter {
        updates: 0,
        stop_at,
    };
    let suggested = suggestions::run(&study(task()), folder, &mut counter).unwrap();
    (suggested, counter.updates)
}

#[test]
fn a_stopped_study_continues_to_the_same_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, all) = run(&folder.path().join("whole"), u64::MAX);
    let whole = whole.unwrap();
    let parts = folder.path().join("parts");
    assert_eq!(run(&parts, all / 2).0, None);
    let (rest, updates) = run(&parts, u64::MAX);
    assert!(updates < all, "{updates} of {all}");
    assert_eq!(rest.unwrap(), whole);
    let (again, none) = run(&parts, u64::MAX);
    assert_eq!((again.unwrap(), none), (whole.clone(), 0));

    let [task] = whole.tasks.as_slice() else {
        panic!("{whole:?}");
    };
    assert_eq!((task.steps, task.seeds.as_slice()), (20, &[1, 2][..]));
    let best = task.grid.iter().map(|point| point.mean).fold(0.0, f64::max);
    assert_eq!(task.best_accuracy, best);
    let names: Vec<&str> = task.rules.iter().map(|one| one.rule.as_str()).collect();
    assert_eq!(names[..2], ["short_cycles", "one_cycle_max"]);
    assert!(names.contains(&"valley") && names.contains(&"lightning"));
    for one in &task.rules {
        assert!(one.cost > 0.0, "{}", one.rule);
        let answered = one.lr.iter().flatten().count() > 0;
        assert_eq!(one.regret_mean.is_some(), answered, "{}", one.rule);
    }
    // The search costs more than its range test.
    assert!(task.rules[0].cost > task.rules[1].cost);
    let csv = std::fs::read_to_string(parts.join("suggestions.csv")).unwrap();
    assert_eq!(csv.lines().count(), 1 + 2 * task.rules.len());
    assert!(parts.join("figures/suggestions-tiny.svg").exists());
}

#[test]
fn two_workers_share_the_seeds() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, all) = run(&folder.path().join("whole"), u64::MAX);
    let shared = folder.path().join("shared");
    let work = || {
        let mut counter = Counter {
            updates: 0,
            stop_at: u64::MAX,
        };
        let place = (shared.as_path(), Part::Worker);
        let outcome = suggestions::take_part(&study(task()), place, &mut counter).unwrap();
        (outcome, counter.updates)
    };
    let ended = std::thread::scope(|scope| {
        let workers = [scope.spawn(work), scope.spawn(work)];
        workers.map(|one| one.join().unwrap())
    });
    assert_eq!(ended[0].1 + ended[1].1, all, "an update was made twice");
    let mut results = ended.into_iter().filter_map(|(one, _)| one.finished());
    assert_eq!(results.next(), whole);
    assert!(shared.join("tiny/seed2/trials.jsonl").exists());
    assert!(shared.join("suggestions.json").exists());
}

#[test]
fn trainings_of_an_earlier_version_are_known() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, _) = run(folder.path(), u64::MAX);
    // Earlier versions kept all seeds in the folder of the task.
    let task = folder.path().join("tiny");
    for name in ["trials.jsonl", "range_tests.jsonl"] {
        let of =
            |seed: u64| std::fs::read_to_string(task.join(format!("seed{seed}/{name}"))).unwrap();
        std::fs::write(task.join(name), of(1) + &of(2)).unwrap();
    }
    std::fs::rename(task.join("seed1/run.toml"), task.join("run.toml")).unwrap();
    for seed in ["seed1", "seed2"] {
        std::fs::remove_dir_all(task.join(seed)).unwrap();
    }
    assert_eq!(run(folder.path(), u64::MAX), (whole, 0));
}

#[test]
fn a_folder_with_other_settings_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let nothing = &mut Counter {
        updates: 0,
        stop_at: 0,
    };
    assert_eq!(
        suggestions::run(&study(task()), folder.path(), nothing).unwrap(),
        None
    );
    let mut other = task();
    other.config.batch_size = 64;
    let error = suggestions::run(&study(other), folder.path(), nothing).unwrap_err();
    assert!(
        matches!(
            error,
            StudyError::Train(TrainError::Run(RunError::OtherSettings { .. }))
        ),
        "{error}"
    );
    assert!(error.to_string().contains("batch_size"), "{error}");
}

#[test]
fn missing_data_are_reported_before_the_first_training() {
    let folder = tempfile::tempdir().unwrap();
    let mut lost = task();
    lost.name = "lost";
    lost.config.data = DataConfig::at(folder.path().join("photos"));
    let study = SuggestionStudy {
        tasks: vec![task(), lost],
        seeds: vec![1],
    };
    let mut counter = Counter {
        updates: 0,
        stop_at: u64::MAX,
    };
    let error = suggestions::run(&study, folder.path(), &mut counter).unwrap_err();
    assert!(error.to_string().contains("photos"), "{error}");
    assert_eq!(counter.updates, 0);
}
