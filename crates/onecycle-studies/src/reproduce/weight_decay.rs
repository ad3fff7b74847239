//! Smith: range tests with several weight decays, and the training that follows from each.

use std::path::{Path, PathBuf};

use onecycle::{
    OneCycle,
    range_test::{LrSweep, Rule},
};
use onecycle_stats::SampleMean;

use super::{
    Budget, Claim, ClaimVerdict, Protocol, Published, Reproduction, Results,
    baseline::one_cycle_policy,
    claim::{above, interval},
    usual_figures,
};
use crate::{
    StudyError,
    study::{Part, RunSpec, Variant, XAxis, pause, see_changes, wait_for},
};
use onecycle_plot::{Figure, format::significant};
use onecycle_train::{
    Config, RunError, files,
    lr_search::{
        found::{self, RangeTestResult, RangeTestRun},
        range_test,
        settings::{Overlay, RangeTestConfig, SweptParameter},
    },
    observer::Observer,
    run_folder::RunLock,
};

/// From much too large to almost none. The logs have 1e-3 to 1e-6.
const DECAYS: [f64; 4] = [1e-2, 1e-3, 1e-4, 1e-5];
/// Steps of the range tests.
const NUM_STEPS: u64 = 150;
/// Rounds a suggested rate to four digits, as a person would write it.
fn rounded(lr: f64) -> f64 {
    format!("{lr:.3e}").parse().unwrap_or(lr)
}

const DISCIPLINED: &str = "Smith, \"A disciplined approach\" (2018), section 4.4";
const LOGS: &str = "Smith & Topin's logs (CLR 0.1 to 3, ResNet-56, CIFAR-10)";

fn label(decay: f64) -> String {
    format!("weight-decay-{decay:e}")
}

/// `weight-decay`.
pub(super) struct WeightDecay;

impl WeightDecay {
    fn record(folder: &Path) -> PathBuf {
        folder.join("weight-decay").join("range_test.json")
    }

    /// The folder of the range tests, one file per decay and seed.
    fn parts(folder: &Path) -> PathBuf {
        folder.join("weight-decay").join("range_tests")
    }

    /// The range tests of a protocol, in the order of their numbers: decay, seed, and file.
    fn files(protocol: &Protocol, folder: &Path) -> Vec<(f64, u64, PathBuf)> {
        let parts = WeightDecay::parts(folder);
        let file = |decay: f64, seed: u64| {
            let name = format!("{}-seed{seed}.json", label(decay));
            (decay, seed, parts.join(name))
        };
        let decays = DECAYS.iter();
        let files = decays.flat_map(|decay| protocol.seeds().map(move |seed| (*decay, seed)));
        files.map(|(decay, seed)| file(decay, seed)).collect()
    }

    /// Makes the range tests of a part that are missing in the folder, then waits for those that
    /// other processes make. Each one is saved as soon as it ends. Returns `None` if the observer
    /// stopped it.
    fn tests(
        protocol: &Protocol,
        (folder, part): (&Path, Part),
        observer: &mut dyn Observer,
    ) -> Result<Option<RangeTestResult>, StudyError> {
        let config = protocol.config(one_cycle_policy(&protocol.budget));
        if !WeightDecay::check_folder(&config, (folder, part), observer)? {
            return Ok(None);
        }
        let files = WeightDecay::files(protocol, folder);
        let mut watch = RangeTestProgress {
            observer,
            made: 0,
            of: files.len(),
        };
        let mut waiting = false;
        loop {
            let mut complete = true;
            for (number, (decay, seed, kept)) in files.iter().enumerate() {
                if kept.exists() {
                    continue;
                }
                watch.made = number + 1;
                let own = part.contains(number);
                if own && !WeightDecay::test(&config, (*decay, *seed), (kept, part), &mut watch)? {
                    return Ok(None);
                }
                complete &= kept.exists();
            }
            if complete {
                return WeightDecay::found(protocol, folder);
            }
            if !std::mem::replace(&mut waiting, true) {
                watch.note("waiting for range tests that other processes make");
            }
            if !pause(&mut watch) {
                return Ok(None);
            }
        }
    }

    /// Makes one range test, unless it exists or another process makes it. Returns false if the
    /// observer stopped it.
    fn test(
        config: &Config,
        (decay, seed): (f64, u64),
        (kept, part): (&Path, Part),
        observer: &mut dyn Observer,
    ) -> Result<bool, StudyError> {
        let Some(lock) = WeightDecay::lock(kept)? else {
            return Ok(true);
        };
        part.check(&lock, kept)?;
        if let Some(parts) = kept.parent() {
            see_changes(parts)?;
        }
        if kept.exists() {
            return Ok(true);
        }
        let test = RangeTestConfig {
            sweep: LrSweep::exponential(1e-4, 10.0, NUM_STEPS)?,
            overlay: Some(Overlay {
                parameter: SweptParameter::WeightDecay,
                values: vec![decay],
            }),
            ..RangeTestConfig::new(seed)?
        };
        match range_test::run(config, &test, observer)? {
            None => Ok(false),
            Some(found) => {
                found.write_json(kept)?;
                Ok(true)
            }
        }
    }

    /// Locks a range test; `None` if another process makes it.
    fn lock(kept: &Path) -> Result<Option<RunLock>, StudyError> {
        Ok(RunLock::try_acquire_file(&kept.with_extension("lock"))?)
    }

    /// Reads all range tests.
    fn found(protocol: &Protocol, folder: &Path) -> Result<Option<RangeTestResult>, StudyError> {
        let files = WeightDecay::files(protocol, folder);
        let read = files.iter().map(|(.., kept)| RangeTestResult::read(kept));
        let found: Result<Vec<_>, _> = read.collect();
        Ok(RangeTestResult::merge(found?))
    }

    /// Checks that the folder was made with this configuration. If it has none, one process writes
    /// its configuration there, and the others wait for it. Returns false if the observer stopped it.
    fn check_folder(
        config: &Config,
        (folder, part): (&Path, Part),
        observer: &mut dyn Observer,
    ) -> Result<bool, StudyError> {
        let own = folder.join("weight-decay");
        let configured = own.join("range_test.toml");
        let written = wait_for(observer, || {
            if configured.exists() {
                return Ok(Some(()));
            }
            if !part.leads() {
                return Ok(None);
            }
            files::create_folder(&WeightDecay::parts(folder))?;
            let Some(lock) = RunLock::try_acquire(&own)? else {
                return Ok(None);
            };
            part.check(&lock, &own)?;
            if !configured.exists() {
                files::write_whole(&configured, config.to_toml()?.as_bytes())?;
            }
            Ok(Some(()))
        })?;
        if written.is_none() {
            return Ok(false);
        }
        let differences = Config::read(&configured)?.differences(config)?;
        match differences.is_empty() {
            true => Ok(true),
            false => Err(RunError::OtherSettings {
                run: own,
                differences,
            }
            .into()),
        }
    }

    /// The peak that the range tests suggest, or the peak of the budget if they suggest none.
    fn peak(named: Option<f64>, budget: &Budget) -> f64 {
        named.map_or(budget.lr_max, rounded)
    }
}

/// Reports range tests as notes, like a study reports its runs.
struct RangeTestProgress<'a> {
    observer: &'a mut dyn Observer,
    /// Number of the current test, and of all tests.
    made: usize,
    of: usize,
}

impl Observer for RangeTestProgress<'_> {
    fn range_test(&mut self, _: usize, label: &str, _: u64) {
        self.observer
            .note(&format!("range test {} of {}: {label}", self.made, self.of));
    }

    fn note(&mut self, text: &str) {
        self.observer.note(text);
    }

    fn stop(&mut self) -> bool {
        self.observer.stop()
    }
}

impl Reproduction for WeightDecay {
    fn name(&self) -> &'static str {
        "weight-decay"
    }

    fn title(&self) -> &'static str {
        "Weight decay: range tests, and the training that follows from each"
    }

    fn notes(&self, _: &Protocol) -> Vec<String> {
        vec!["Each weight decay is trained with the peak that its own range test with the same seed suggests, \
              or with the usual peak if the test suggests none. Range tests are short and say little about \
              regularisation."
            .to_owned()]
    }

    fn prepare(
        &self,
        protocol: &Protocol,
        shared: (&Path, Part),
        observer: &mut dyn Observer,
    ) -> Result<Option<Vec<RunSpec>>, StudyError> {
        let Some(found) = WeightDecay::tests(protocol, shared, observer)? else {
            return Ok(None);
        };
        let groups = DECAYS.into_iter().zip(&found.groups);
        let tests = groups.flat_map(|(decay, group)| group.tests.iter().map(move |t| (decay, t)));
        let specs = tests.map(|(decay, test)| {
            let mut config = protocol.config(OneCycle {
                lr_max: WeightDecay::peak(named(test), &protocol.budget),
                ..one_cycle_policy(&protocol.budget)
            });
            let optimizer = config.optimizer.config.clone();
            config.optimizer.config = optimizer.with_weight_decay(decay);
            RunSpec::new(label(decay), config, test.seed)
        });
        Ok(Some(specs.collect()))
    }

    fn summarise(&self, protocol: &Protocol, folder: &Path) -> Result<(), StudyError> {
        if let Some(found) = WeightDecay::found(protocol, folder)? {
            found.write_json(&WeightDecay::record(folder))?;
        }
        Ok(())
    }

    fn claims(
        &self,
        protocol: &Protocol,
        folder: &Path,
        results: &[Variant],
    ) -> Result<Vec<Claim>, StudyError> {
        let found = RangeTestResult::read(&WeightDecay::record(folder))?;
        let results = Results(results.to_vec());
        let of = |decay: f64| results.get(&label(decay));
        let claim = |text, source, numbers| Published {
            text,
            source,
            numbers,
        };
        let rates = claim(
            "A smaller weight decay allows a larger learning rate",
            DISCIPLINED,
            "figures of range tests with several weight decays",
        );
        Ok(vec![
            larger_rates(rates, &found, protocol),
            claim(
                "At a very large rate, weight decay 1e-4 ends more accurate than 1e-3",
                LOGS,
                "92.44 % with 1e-4; 1e-3 diverges",
            )
            .more_accurate(of(1e-4)?, of(1e-3)?, 0.0),
            claim(
                "Weight decay 1e-4 ends more accurate than 1e-5",
                LOGS,
                "92.44 against 88.28 %",
            )
            .more_accurate(of(1e-4)?, of(1e-5)?, 0.0),
        ])
    }

    fn figures(
        &self,
        _: &Protocol,
        folder: &Path,
        results: &[Variant],
    ) -> Result<Vec<(Figure, String)>, StudyError> {
        let mut figure = found::figure(&RangeTestResult::read(&WeightDecay::record(folder))?);
        figure.name = "weight-decay-range-test".to_owned();
        let caption = "Range tests with several weight decays. The loss starts to rise again at the largest usable rate.";
        let mut shown = vec![(figure, caption.to_owned())];
        shown.extend(usual_figures(self.name(), XAxis::Steps, results));
        Ok(shown)
    }
}

/// The peak that a range test suggests.
fn named(test: &RangeTestRun) -> Option<f64> {
    Rule::OneCycleMax.apply(&test.curve).lr
}

/// Tests that the range tests suggest a larger rate for the smallest weight decay than for the
/// largest, paired by seed.
fn larger_rates(published: Published, found: &RangeTestResult, protocol: &Protocol) -> Claim {
    let peaks: Vec<String> = DECAYS
        .iter()
        .zip(&found.groups)
        .map(|(decay, group)| {
            let lr = WeightDecay::peak(group.one_cycle_max(), &protocol.budget);
            let own = if group.one_cycle_max().is_some() {
                ""
            } else {
                ", none suggested"
            };
            format!("{decay:e}: {}{own}", significant(lr))
        })
        .collect();
    let (Some(large), Some(small)) = (found.groups.first(), found.groups.last()) else {
        return published.with("no test".to_owned(), ClaimVerdict::NotDecided);
    };
    let pairs = small.tests.iter().zip(&large.tests);
    let ratios: Vec<f64> = pairs
        .filter_map(|(small, large)| Some((named(small)? / named(large)?).ln()))
        .collect();
    let list = peaks.join("; ");
    match SampleMean::of(&ratios) {
        None => published.with(
            format!("{list}; no seed has a suggestion for both decays"),
            ClaimVerdict::NotDecided,
        ),
        Some(ratio) => {
            let times = interval(&ratio, |log| significant(log.exp()));
            let ours = format!("{list}; ratio between the smallest and the largest decay {times}");
            published.with(ours, above(ratio, 0.0))
        }
    }
}
