//! What one page shows, as messages with only what has changed: [`View`].

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash, Hasher},
    path::Path,
    time::{Duration, Instant, SystemTime},
};

use onecycle::{Plan, range_test::Rule};
use onecycle_train::{
    RunFolder,
    assessment::Assessment,
    diagnose::Diagnosis,
    lr_search::{
        found::{CurveGroup, RangeTestResult},
        journal,
        trial::Trial,
    },
    run_folder::RunFile,
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    labels,
    library::Library,
    run::Run,
    steps::{Axis, Points, Window},
};

/// A curve is sent again when it has grown by this part of its visible points: about two pixels.
const WORTH_SENDING: f64 = 0.003;
/// Longest time between two messages with a curve that grows.
const SEND_EVERY: Duration = Duration::from_secs(5);
/// Points of a plan besides the ends of its phases.
const PLAN_POINTS: usize = 300;
/// Runs that one page shows at most.
pub(crate) const MOST_RUNS: usize = 20;
/// A confusion matrix of more classes is replaced by its largest errors.
const MOST_CLASSES: usize = 100;
/// Pairs of classes that are listed as confused.
const MOST_PAIRS: usize = 12;

/// What a page shows.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Shown {
    /// Identifiers of the runs with curves.
    pub(crate) runs: Vec<String>,
    /// The visible part of the curves.
    pub(crate) window: Window,
}

/// A named message of JSON.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Message {
    pub(crate) event: &'static str,
    pub(crate) data: String,
}

/// The state of one page.
#[derive(Debug)]
pub(crate) struct View {
    shown: Shown,
    /// Hash of the last message of each kind about each run.
    sent: BTreeMap<(&'static str, String), u64>,
    /// Runs and studies that the page knows.
    known: BTreeSet<String>,
    curves: BTreeMap<String, Curve>,
    begun: bool,
}

/// The last message with the curve of a run.
#[derive(Debug)]
struct Curve {
    version: u64,
    updates: usize,
    time: Instant,
}

impl View {
    pub(crate) fn new(shown: Shown) -> Self {
        View {
            shown,
            sent: BTreeMap::new(),
            known: BTreeSet::new(),
            curves: BTreeMap::new(),
            begun: false,
        }
    }

    /// The messages that bring the page up to date.
    pub(crate) fn messages(&mut self, library: &Library) -> Vec<Message> {
        let mut messages = Vec::new();
        self.list(library, &mut messages);
        self.labels(library, &mut messages);
        for id in self.shown.runs.clone() {
            if let Some(run) = library.run(&id) {
                self.run(run, &mut messages);
            }
        }
        messages
    }

    /// Whether a message differs from the last one of its kind about `id`.
    fn is_new(&mut self, kind: &'static str, id: &str, value: &impl Hash) -> bool {
        let mut hasher = DefaultHasher::new();
        value.hash(&mut hasher);
        let hash = hasher.finish();
        self.sent.insert((kind, id.to_owned()), hash) != Some(hash)
    }

    fn list(&mut self, library: &Library, messages: &mut Vec<Message>) {
        let (mut runs, mut studies, mut alive) = (Vec::new(), Vec::new(), BTreeSet::new());
        for run in library.runs() {
            alive.insert(run.id.clone());
            let info = value(&run.info());
            if self.is_new("run", &run.id, &info.to_string()) {
                runs.push(info);
            }
        }
        for study in library.studies() {
            let info = value(study.info());
            let id = info["id"].as_str().unwrap_or_default().to_owned();
            if self.is_new("study", &id, &info.to_string()) {
                studies.push(info);
            }
            alive.insert(id);
        }
        let removed: Vec<String> = self.known.difference(&alive).cloned().collect();
        for id in &removed {
            self.sent.retain(|(_, of), _| of != id);
        }
        self.known = alive;
        if self.begun && runs.is_empty() && studies.is_empty() && removed.is_empty() {
            return;
        }
        let data = json!({
            "first": !self.begun,
            "runs": runs,
            "studies": studies,
            "removed": removed,
            "incomplete": library.incomplete,
        });
        self.begun = true;
        messages.push(message("list", data));
    }

    fn labels(&mut self, library: &Library, messages: &mut Vec<Message>) {
        let runs: Vec<&Run> = self
            .shown
            .runs
            .iter()
            .filter_map(|id| library.run(id))
            .collect();
        let (ids, configs): (Vec<_>, Vec<_>) = runs
            .iter()
            .filter_map(|run| Some((run.id.clone(), run.config()?)))
            .unzip();
        let labels: BTreeMap<String, String> =
            ids.into_iter().zip(labels::differences(&configs)).collect();
        if self.is_new("labels", "", &labels) {
            messages.push(message("labels", json!(labels)));
        }
    }

    fn run(&mut self, run: &Run, messages: &mut Vec<Message>) {
        let id = run.id.clone();
        let updates = run.steps().len();
        let due = self.curves.get(&id).is_none_or(|last| {
            let grown = updates.abs_diff(last.updates) as f64;
            last.version != run.version
                && (updates < last.updates
                    || run.is_final()
                    || grown > WORTH_SENDING * updates as f64
                    || last.time.elapsed() >= SEND_EVERY)
        });
        if due {
            let window = &self.shown.window;
            let plan = run.plan().map(|(_, plan)| plan);
            let points = run.steps().points(window, plan);
            messages.push(message(
                "steps",
                StepsData {
                    id: &id,
                    updates,
                    points,
                },
            ));
            let curve = Curve {
                version: run.version,
                updates,
                time: Instant::now(),
            };
            self.curves.insert(id.clone(), curve);
        }
        let epochs = value(&run.epochs);
        if self.is_new("epochs", &id, &epochs.to_string()) {
            messages.push(message("epochs", json!({ "id": id, "epochs": epochs })));
        }
        if let Some((run_file, plan)) = run.plan()
            && self.is_new("plan", &id, &value(run_file).to_string())
        {
            let (points, phases) = planned(run_file, plan, &self.shown.window);
            let steps = plan.steps();
            messages.push(message(
                "plan",
                PlanData {
                    id: &id,
                    steps,
                    points,
                    phases,
                },
            ));
        }
        let folder = run.folder();
        let files = [folder.journal(), folder.range_test()];
        self.files(run, "search", &files, search, messages);
        let files = [folder.diagnoses(), folder.diagnosis()];
        self.files(run, "diagnoses", &files, diagnoses, messages);
        let files = [folder.assessment().join("assessment.json")];
        self.files(run, "assessment", &files, assessment, messages);
    }

    /// Adds a message that is made of `files` if one of them has changed.
    fn files(
        &mut self,
        run: &Run,
        kind: &'static str,
        files: &[std::path::PathBuf],
        make: fn(&Run) -> Result<Value, String>,
        messages: &mut Vec<Message>,
    ) {
        let state = |path: &std::path::PathBuf| state(path, run);
        let states: Vec<_> = files.iter().map(state).collect();
        if states.iter().all(Option::is_none) && !self.sent.contains_key(&(kind, run.id.clone())) {
            return;
        }
        if self.is_new(kind, &run.id, &states) {
            let data = make(run).unwrap_or_else(|problem| json!({ "problem": problem }));
            messages.push(message(kind, json!({ "id": run.id, "is": data })));
        }
    }
}

/// Length and time of a file that may be read.
fn state(path: &Path, run: &Run) -> Option<(u64, Option<SystemTime>)> {
    if !run.place().has_file(path) {
        return None;
    }
    let metadata = path.metadata().ok()?;
    Some((metadata.len(), metadata.modified().ok()))
}

/// The curves of a run. Written without [`Value`], which would print each `f32` with the digits of an
/// `f64`.
#[derive(Serialize)]
struct StepsData<'a> {
    id: &'a str,
    updates: usize,
    points: Points,
}

/// The plan of a run.
#[derive(Serialize)]
struct PlanData<'a> {
    id: &'a str,
    steps: u64,
    points: Points,
    phases: Vec<PlannedPhase>,
}

fn message(event: &'static str, data: impl Serialize) -> Message {
    // These types can be JSON.
    let data = serde_json::to_string(&data).unwrap_or_default();
    Message { event, data }
}

/// A value that can be JSON.
fn value(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or(Value::Null)
}

/// A phase of the plan.
#[derive(Debug, Serialize)]
struct PlannedPhase {
    name: String,
    first_step: u64,
    epoch: Option<f64>,
}

/// Learning rate and momentum of the plan in a window, and all its phases.
fn planned(run_file: &RunFile, plan: &Plan, window: &Window) -> (Points, Vec<PlannedPhase>) {
    let total = plan.steps();
    let phases = plan.phases();
    let mut at: BTreeSet<u64> = phases
        .iter()
        .flat_map(|phase| [phase.first_step, phase.last_step])
        .filter(|step| *step < total)
        .collect();
    let (from, to) = visible(plan, window);
    at.extend((0..=PLAN_POINTS as u64).map(|i| from + (to - from) * i / PLAN_POINTS as u64));
    let mut points = Points::default();
    for step in at.into_iter().filter(|step| *step < total) {
        let hyper = plan.at(step);
        let momentum = hyper
            .momentum
            .unwrap_or(run_file.config.optimizer.config.momentum());
        points.step.push(step + 1);
        points
            .epoch
            .push(plan.epoch_at(step + 1).map(|epoch| epoch as f32));
        points.lr.push((hyper.lr * run_file.lr_scale(step)) as f32);
        points.momentum.push(momentum as f32);
    }
    let phases = phases.into_iter().map(|phase| PlannedPhase {
        name: phase.name,
        first_step: phase.first_step,
        epoch: plan.epoch_at(phase.first_step),
    });
    (points, phases.collect())
}

/// First and last step of a window, within the plan.
fn visible(plan: &Plan, window: &Window) -> (u64, u64) {
    let last = plan.steps().saturating_sub(1);
    let Some((low, high)) = window.range else {
        return (0, last);
    };
    let share = |x: f64| match window.axis {
        Axis::Steps => x / plan.steps() as f64,
        // Exact only with one batch size; the points are dense enough for the rest.
        Axis::Epochs => x / plan.epoch_at(plan.steps()).unwrap_or(1.0),
    };
    let step = |x: f64| (share(x) * plan.steps() as f64).clamp(0.0, last as f64) as u64;
    (step(low), step(high).max(step(low)))
}

/// The range tests and short cycles of a folder.
fn search(run: &Run) -> Result<Value, String> {
    let folder = run.folder();
    let text = |error: &dyn std::error::Error| error.to_string();
    if run.place().has_file(&folder.range_test()) {
        let found = RangeTestResult::read(&folder.range_test()).map_err(|error| text(&error))?;
        let tests = found.groups.iter().flat_map(|group| {
            let label = group.label(found.parameter);
            curves(group, &label)
        });
        let cycles = found.search.iter().flat_map(|search| &search.cycles);
        return Ok(json!({
            "finished": true,
            "lr": found.one_cycle_max,
            "tests": tests.collect::<Vec<_>>(),
            "cycles": cycles.map(cycle).collect::<Vec<_>>(),
        }));
    }
    let (tests, cycles) = match run.place().has_file(&folder.journal()) {
        true => journal::read_finished(folder).map_err(|error| text(&error))?,
        false => Default::default(),
    };
    let tests = tests.into_iter().enumerate().flat_map(|(index, test)| {
        let label = format!("test {}, seed {}", index + 1, test.seed);
        curves(&CurveGroup::new(None, vec![test]), &label)
    });
    Ok(json!({
        "finished": false,
        "lr": null,
        "tests": tests.collect::<Vec<_>>(),
        "cycles": cycles.iter().map(cycle).collect::<Vec<_>>(),
    }))
}

/// The curves of a group with the suggestion of the rule for one cycle.
fn curves(group: &CurveGroup, label: &str) -> Vec<Value> {
    let suggested = group.answer(Rule::OneCycleMax).and_then(|answer| answer.lr);
    let verdict = group.verdict();
    let curve = |test: &onecycle_train::lr_search::found::RangeTestRun| {
        let single = |values: &[f64]| values.iter().map(|value| *value as f32).collect::<Vec<_>>();
        json!({
            "label": match group.tests.len() {
                1 => label.to_owned(),
                _ => format!("{label}, seed {}", test.seed),
            },
            "rate": single(test.curve.lr()),
            "loss": single(test.curve.loss()),
            "smooth": single(&test.curve.smoothed()),
            "suggested": suggested,
            "verdict": verdict.to_string(),
        })
    };
    group.tests.iter().map(curve).collect()
}

fn cycle(trial: &Trial) -> Value {
    json!({
        "lr_max": trial.lr_max,
        "seed": trial.seed,
        "steps": trial.steps,
        "diverged": trial.diverged,
        "loss": trial.judged.and_then(|score| score.loss),
        "accuracy": trial.judged.map(|score| score.accuracy),
    })
}

/// The diagnoses of a run: their numbers over the steps, and the newest one in words.
fn diagnoses(run: &Run) -> Result<Value, String> {
    let all = run.diagnoses()?;
    let numbers = |value: fn(&Diagnosis) -> Option<f64>| all.iter().map(value).collect::<Vec<_>>();
    let newest = all.last().map(|newest| {
        let rows = newest.rows().into_iter();
        rows.map(|row| [row.name, row.value, row.meaning])
            .collect::<Vec<_>>()
    });
    let curvature =
        |one: &Diagnosis| Some(one.hessian.as_ref()?.curvature.eigenvalues.first()?.value);
    Ok(json!({
        "step": all.iter().map(|one| one.conditions.step).collect::<Vec<_>>(),
        "epoch": numbers(|one| one.conditions.epoch),
        "noise": numbers(|one| Some(one.noise?.micro_batches.scale?.value)),
        "curvature": numbers(curvature),
        "sharpness": numbers(|one| Some(one.sharpness?.sharpness)),
        "gap": numbers(|one| Some(one.gap.gap)),
        "newest": newest,
    }))
}

/// The confusion matrix of a finished run with its largest errors.
fn assessment(run: &Run) -> Result<Value, String> {
    let folder: &RunFolder = run.folder();
    let read = Assessment::read(&folder.assessment()).map_err(|error| error.to_string())?;
    let Some(found) = read else {
        return Ok(Value::Null);
    };
    let classes: Vec<&str> = found
        .classes
        .iter()
        .map(|class| class.class.as_str())
        .collect();
    let mut pairs: Vec<(u64, usize, usize)> = Vec::new();
    for (truth, row) in found.confusion.iter().enumerate() {
        let errors = row
            .iter()
            .enumerate()
            .filter(|(taken, count)| *taken != truth && **count > 0);
        pairs.extend(errors.map(|(taken, count)| (*count, truth, taken)));
    }
    pairs.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2)));
    pairs.truncate(MOST_PAIRS);
    let matrix = (classes.len() <= MOST_CLASSES).then_some(&found.confusion);
    Ok(json!({
        "measured_on": found.measured_on,
        "images": found.images,
        "accuracy": found.scores.accuracy,
        "classes": classes,
        "matrix": matrix,
        "pairs": pairs,
    }))
}
