//! Several processes on one run: the bits do not depend on their number. Threads with channels stand
//! for processes.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI32, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    thread,
};

use onecycle::range_test::{LossCurve, LrSweep, StopReason};
use onecycle_train::{
    Config, Experiment, RunError,
    follower::follow,
    lr_search::{
        context::Context,
        found::RangeTestResult,
        journal::{self, Journal},
        one_test, range_test, search,
        settings::{Overlay, RangeTestConfig, SweptParameter},
        trial::{self, Cycle, HoldOut, Trial},
    },
    observer::{Observer, Silent},
    processes::{Group, Team},
    record::StepRecord,
    run_folder::RunFolder,
    training::{Outcome, Training},
};

use crate::runs::{Run, Watch, assert_same, config, finished, try_config};

/// A process of a group of threads.
#[derive(Debug)]
struct Member {
    rank: usize,
    to: Vec<Sender<Vec<u8>>>,
    from: Vec<Mutex<Receiver<Vec<u8>>>>,
}

/// `size` members that are connected with each other.
fn group(size: usize) -> Vec<Member> {
    let mut members: Vec<Member> = (0..size)
        .map(|rank| Member {
            rank,
            to: Vec::new(),
            from: Vec::new(),
        })
        .collect();
    for sender in 0..size {
        for receiver in 0..size {
            let (to, from) = channel();
            members[sender].to.push(to);
            members[receiver].from.push(Mutex::new(from));
        }
    }
    members
}

impl Member {
    fn send(&self, to: usize, bytes: Vec<u8>) {
        self.to[to].send(bytes).unwrap();
    }

    fn receive(&self, from: usize) -> Vec<u8> {
        self.from[from].lock().unwrap().recv().unwrap()
    }
}

impl Group for Member {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.to.len()
    }

    fn swap(&self, partner: usize, mine: &[f32], theirs: &mut [f32]) -> Result<(), RunError> {
        self.send(partner, mine.iter().flat_map(|v| v.to_le_bytes()).collect());
        let bytes = self.receive(partner);
        assert_eq!(bytes.len(), 4 * theirs.len());
        for (value, bytes) in theirs.iter_mut().zip(bytes.chunks_exact(4)) {
            *value = f32::from_le_bytes(bytes.try_into().unwrap());
        }
        Ok(())
    }

    fn gather(&self, mine: &[u8]) -> Result<Vec<u8>, RunError> {
        (0..self.size()).for_each(|to| self.send(to, mine.to_vec()));
        let parts: Vec<_> = (0..self.size()).map(|from| self.receive(from)).collect();
        assert!(parts.iter().all(|part| part.len() == mine.len()));
        Ok(parts.concat())
    }

    fn broadcast(&self, bytes: Vec<u8>) -> Result<Vec<u8>, RunError> {
        if self.rank == 0 {
            (1..self.size()).for_each(|to| self.send(to, bytes.clone()));
            return Ok(bytes);
        }
        Ok(self.receive(0))
    }
}

/// Runs `lead` with a team of `processes`; the others follow. `signals` are their numbers. Each has a
/// thread pool of its own: a thread that waits for another process would keep it from computing.
fn together<T: Send>(
    processes: usize,
    signals: &[Arc<AtomicI32>],
    lead: impl FnOnce(Team) -> T + Send,
) -> T {
    let mut members = group(processes).into_iter().zip(signals);
    let team = |(member, signal): (Member, &Arc<AtomicI32>)| {
        Team::new(Arc::new(member), Arc::clone(signal))
    };
    let pool = || {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1);
        pool.build().unwrap()
    };
    let leader = team(members.next().unwrap());
    thread::scope(|scope| {
        for member in members {
            let team = team(member);
            scope.spawn(move || pool().install(|| follow(&team, 0).unwrap()));
        }
        let result = pool().install(|| lead(leader.clone()));
        leader.end().unwrap();
        result
    })
}

fn signals(processes: usize) -> Vec<Arc<AtomicI32>> {
    (0..processes).map(|_| Arc::default()).collect()
}

/// Continues a run with `processes` until it has finished or `observer` stops it.
fn resume(run: &Run, processes: usize, observer: &mut (dyn Observer + Send)) -> Outcome {
    together(processes, &signals(processes), |team| {
        let training = Training::resume(run.folder.clone(), &mut Silent).unwrap();
        training.with_team(team).unwrap().run(observer).unwrap()
    })
}

fn whole(config: Config, processes: usize) -> Run {
    let (run, training) = Run::start(config);
    let outcome = together(processes, &signals(processes), |team| {
        training.with_team(team).unwrap().run(&mut Silent).unwrap()
    });
    finished(outcome);
    run
}

/// A network with batch norm in four shards. The last batch of an epoch has 62 images.
fn sharded(settings: &[(&str, &str)]) -> Config {
    let base = [
        ("model", "convnet"),
        ("shards", "4"),
        ("augment.cutmix", "1"),
    ];
    config(&[&base, settings].concat())
}

#[test]
fn any_number_of_processes_gives_the_same_bits() {
    for settings in [
        &[][..],
        // A last batch of two images: two shards without any.
        &[("batch_size", "95"), ("optimizer.clip_norm", "0.5")],
        &[("averaging.kind", "ema"), ("class_weights", "\"balanced\"")],
    ] {
        let (one, _) = Run::whole(sharded(settings));
        for processes in [1, 2, 4] {
            let run = whole(sharded(settings), processes);
            assert_same(&one, &run, &format!("{settings:?}, {processes} processes"));
        }
    }
}

#[test]
fn a_run_resumes_with_more_or_fewer_processes() {
    let (one, _) = Run::whole(sharded(&[]));
    let (run, training) = Run::start(sharded(&[]));
    drop(training);
    for (updates, processes) in [(2, 4), (5, 1), (6, 2), (9, 4)] {
        let mut watch = Watch::stop_after(updates);
        let outcome = resume(&run, processes, &mut watch);
        assert_eq!(outcome, Outcome::Stopped { step: updates });
    }
    finished(resume(&run, 2, &mut Silent));
    assert_same(&one, &run, "4, 1, 2, 4 and 2 processes");
}

/// After a loss that is not finite, all processes return to the same checkpoint.
#[test]
fn all_processes_retry() {
    let wild = || {
        config(&[
            ("shards", "4"),
            ("policy.lr_max", "3e3"),
            ("checkpoint_steps", "2"),
            ("on_divergence", "retry"),
        ])
    };
    let (one, _) = Run::whole(wild());
    let run = whole(wild(), 2);
    assert!(!run.folder.read_run_file().unwrap().retries.is_empty());
    assert_same(&one, &run, "retries");
}

/// Shards change the result as ghost batches do: each piece is normalised by itself.
#[test]
fn a_shard_is_a_batch_of_its_own() {
    let losses = |settings: &[(&str, &str)]| -> Vec<f64> {
        let base = [("model", "convnet"), ("steps", "5"), ("drop_last", "true")];
        let (run, _) = Run::whole(config(&[&base, settings].concat()));
        let steps = run.steps();
        let records = steps
            .lines()
            .map(|line| serde_json::from_str(line).unwrap());
        records.map(|step: StepRecord| step.loss).collect()
    };
    let (shards, ghosts) = (losses(&[("shards", "4")]), losses(&[("ghost_batch", "16")]));
    assert_ne!(shards, losses(&[]));
    for (step, (a, b)) in shards.iter().zip(&ghosts).enumerate() {
        assert!((a - b).abs() < 1e-4 * a, "step {step}: {a} and {b}");
    }
}

/// The signal that one process receives stops all of them after an update.
#[test]
fn a_signal_to_any_process_stops_all() {
    struct Stop(Arc<AtomicI32>);
    impl Observer for Stop {
        fn stop(&mut self) -> bool {
            self.0.load(Ordering::SeqCst) != 0
        }
    }
    let (run, training) = Run::start(sharded(&[]));
    let signals = signals(4);
    signals[2].store(15, Ordering::SeqCst);
    let outcome = together(4, &signals, |team| {
        let mut observer = Stop(Arc::clone(&signals[0]));
        training
            .with_team(team)
            .unwrap()
            .run(&mut observer)
            .unwrap()
    });
    assert_eq!(outcome, Outcome::Stopped { step: 1 });
    assert!(
        signals
            .iter()
            .all(|signal| signal.load(Ordering::SeqCst) == 15)
    );
    assert!(!run.checkpoints().is_empty());
}

#[test]
fn impossible_numbers_are_rejected() {
    for shards in ["0", "3", "128"] {
        let error = try_config(&[("shards", shards)]).unwrap_err().to_string();
        assert!(error.contains(&format!("shards = {shards}")), "{error}");
    }
    for (processes, text) in [(3, "number of processes = 3"), (8, "shards = 4")] {
        let member = group(processes).remove(0);
        let team = Team::new(Arc::new(member), Arc::default());
        let error = team.shards(4).unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
    }
}

/// The result of a trial without its time.
fn timeless(trial: Option<Trial>) -> Trial {
    Trial {
        seconds: 0.0,
        ..trial.unwrap()
    }
}

#[test]
fn short_cycles_are_shared() {
    let experiment = Experiment::prepare(sharded(&[])).unwrap();
    let hold_out = HoldOut::judging(experiment.data.validation.len());
    for second in [false, true] {
        // A second cycle has other weights on the same images.
        let cycle = &search::of_cycle(&experiment, second);
        let made = |team: Option<&Team>, lr_max: f64| {
            let short = Cycle {
                lr_max,
                steps: 5,
                hold_out,
            };
            timeless(trial::run(cycle, short, team, &mut || false).unwrap())
        };
        let alone = [0.05, 1e9].map(|lr_max| made(None, lr_max));
        assert!(alone[0].judged.is_some() && alone[1].diverged.is_some());
        let shared = together(2, &signals(2), |team| {
            // One after another, also after one that diverged.
            [1e9, 0.05].map(|lr_max| made(Some(&team), lr_max))
        });
        assert_eq!((shared[1], shared[0]), (alone[0], alone[1]));
    }
}

/// The losses of a range test of 12 updates.
fn curve(settings: &[(&str, &str)]) -> Vec<f64> {
    let experiment = Experiment::prepare(config(settings)).unwrap();
    let options = RangeTestConfig {
        sweep: LrSweep::exponential(1e-3, 1e-2, 12).unwrap(),
        ..RangeTestConfig::new(1).unwrap()
    };
    let hyper = one_test::peak_hyper(&experiment);
    let test = one_test::run(&experiment, &options, hyper, &mut Silent).unwrap();
    test.unwrap().curve.loss().to_vec()
}

#[test]
fn a_range_test_has_the_shards_of_the_training() {
    // Without batch norm, a mean over shards is the mean over the batch.
    let [whole, sharded] = ["1", "4"].map(|shards| curve(&[("shards", shards)]));
    assert_eq!(whole.len(), 12);
    for (a, b) in whole.iter().zip(&sharded) {
        assert!((a - b).abs() < 1e-4 * a, "{a} {b}");
    }
    // Batch norm sees fewer images.
    let with = |shards| curve(&[("model", "convnet"), ("shards", shards)]);
    assert!((with("1")[0] - with("4")[0]).abs() > 1e-3);
}

/// What a range test recorded, without its times.
fn tests(found: Option<RangeTestResult>) -> Vec<(u64, StopReason, LossCurve)> {
    let groups = found.unwrap().groups.into_iter();
    let tests = groups.flat_map(|group| group.tests);
    tests
        .map(|test| (test.seed, test.stop, test.curve))
        .collect()
}

/// Two weight decays and three seeds, in short tests.
fn six_tests() -> RangeTestConfig {
    RangeTestConfig {
        sweep: LrSweep::exponential(1e-3, 1e4, 40).unwrap(),
        seeds: vec![1, 2, 3],
        overlay: Some(Overlay {
            parameter: SweptParameter::WeightDecay,
            values: vec![1e-4, 1e-2],
        }),
        validate_every: 10,
        ..RangeTestConfig::new(1).unwrap()
    }
}

type Found = Option<RangeTestResult>;

/// Range tests of a small network by the processes of `team`.
fn find(team: Option<&Team>, journal: &mut Journal, observer: &mut dyn Observer) -> Found {
    let config = sharded(&[]);
    let mut context = Context {
        team,
        journal,
        observer,
    };
    range_test::run_from(&config, &six_tests(), &mut context).unwrap()
}

#[test]
fn range_tests_are_distributed() {
    let alone = tests(find(None, &mut Journal::none(), &mut Silent));
    assert_eq!(alone.len(), 6);
    // While some are running, others have ended.
    let ends: BTreeSet<usize> = alone.iter().map(|(_, _, curve)| curve.len()).collect();
    assert!(ends.len() > 1, "{ends:?}");
    // Rounds of 4 and 2 tests.
    for processes in [2, 4] {
        let shared = together(processes, &signals(processes), |team| {
            tests(find(Some(&team), &mut Journal::none(), &mut Silent))
        });
        assert_eq!(alone, shared, "{processes} processes");
    }
}

/// Stops at the update number `after` of the process that leads.
struct StopAfter {
    after: usize,
    updates: usize,
}

impl Observer for StopAfter {
    fn search_step(&mut self, _: f64) {
        self.updates += 1;
    }

    fn stop(&mut self) -> bool {
        self.updates >= self.after
    }
}

#[test]
fn distributed_range_tests_stop_and_continue() {
    let alone = tests(find(None, &mut Journal::none(), &mut Silent));
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("find");
    // In the second round of two.
    let mut observer = StopAfter {
        after: alone[0].2.len() + 10,
        updates: 0,
    };
    let stopped = together(2, &signals(2), |team| {
        find(Some(&team), &mut Journal::in_folder(&root), &mut observer)
    });
    assert!(stopped.is_none());
    let (kept, _) = journal::read_finished(&RunFolder::at(&root)).unwrap();
    assert_eq!(kept.len(), 2);
    let continued = together(4, &signals(4), |team| {
        tests(find(
            Some(&team),
            &mut Journal::in_folder(&root),
            &mut Silent,
        ))
    });
    assert_eq!(alone, continued);
}

/// Sends a signal to a process at the update number `after` of the process that leads.
struct SendSignal {
    after: usize,
    updates: usize,
    to: Arc<AtomicI32>,
}

impl Observer for SendSignal {
    fn search_step(&mut self, _: f64) {
        self.updates += 1;
        if self.updates == self.after {
            self.to.store(15, Ordering::SeqCst);
        }
    }
}

/// A signal to a process that follows stops all tests.
#[test]
fn a_signal_to_any_process_stops_all_range_tests() {
    let signals = signals(2);
    let mut observer = SendSignal {
        after: 10,
        updates: 0,
        to: Arc::clone(&signals[1]),
    };
    let found = together(2, &signals, |team| {
        find(Some(&team), &mut Journal::none(), &mut observer)
    });
    assert!((10..20).contains(&observer.updates), "{}", observer.updates);
    assert!(found.is_none());
    assert_eq!(signals[0].load(Ordering::SeqCst), 15);
}
