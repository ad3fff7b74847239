use onecycle_burn::state;
use toml::{Table, Value};

use super::Training;
use crate::{
    TrainError,
    checkpoint::{self, Checkpoint, CheckpointKind, Progress},
    config::{OnDivergence, PolicyConfig},
    diagnose, files,
    observer::Observer,
    run_folder::Retry,
};

/// Factor on the learning rate at each retry.
const SMALLER: f64 = 0.5;
/// Retries of a run. A learning rate that is 256 times too large is no slip.
const MOST_RETRIES: usize = 8;

impl Training {
    /// Whether the run goes back after a loss that is not finite.
    pub(super) fn may_retry(&self) -> bool {
        self.run_file.config.on_divergence == OnDivergence::Retry
            && self.run_file.retries.len() < MOST_RETRIES
    }

    /// Goes back from update `diverged_at` to a checkpoint; from there on the learning rate is half of what it was.
    ///
    /// `run.toml`, by which a resumed run knows of the retry, is written after all later checkpoints are gone: a process
    /// that is killed before that comes to the same divergence and goes back to the same checkpoint.
    pub(super) fn go_back(
        &mut self,
        diverged_at: u64,
        lr: f64,
        observer: &mut dyn Observer,
    ) -> Result<(), TrainError> {
        let checkpoint = self.before_divergence(observer)?;
        let from = checkpoint.progress.step;
        let folder = self.folder.checkpoints();
        for saved in checkpoint::list(&folder)? {
            if saved.step > from {
                checkpoint::remove(&saved.path)?;
            }
        }
        let lr_scale = SMALLER * self.run_file.lr_scale(diverged_at);
        self.run_file.retries.push(Retry {
            diverged_at,
            lr,
            from,
            lr_scale,
        });
        self.run_file.write(&self.folder.run_file())?;
        observer.note(&format!(
            "the loss is not finite at step {diverged_at} with lr = {lr}; back to step {from}, from there with \
             {lr_scale} of the plan's learning rate"
        ));

        files::keep_lines(&self.folder.steps(), from as usize)?;
        files::keep_lines(&self.folder.epochs(), checkpoint.progress.epoch as usize)?;
        let plan = &self.experiment.plan;
        let every = self.experiment.config.diagnose.every;
        let diagnoses = diagnose::made_by(every, from, plan.steps());
        files::keep_lines(&self.folder.diagnoses(), diagnoses)?;
        let progress = checkpoint.progress;
        self.trainer = super::restore(&self.experiment, checkpoint)?;
        self.trained = progress.trained();
        self.seconds = progress.seconds;
        self.evaluated = progress.evaluated;
        self.saved = progress;
        Ok(())
    }

    /// The newest checkpoint that a retry has not been in vain from, or the start of the run.
    ///
    /// Weights may be ruined, though still finite, by the time of the newest checkpoint: where the last retry came to no
    /// further checkpoint, the one before it is taken, and the run's start if there is none. That of a stop is passed
    /// over, so that a run that was stopped in between does what one does that was not.
    fn before_divergence(&self, observer: &mut dyn Observer) -> Result<Checkpoint, TrainError> {
        let in_vain = self.run_file.retries.last().map(|retry| retry.from);
        for saved in checkpoint::list(&self.folder.checkpoints())?.iter().rev() {
            if saved.kind == CheckpointKind::Stop || Some(saved.step) == in_vain {
                continue;
            }
            match Checkpoint::read(&saved.path) {
                Ok(checkpoint) => return Ok(checkpoint),
                Err(error) => observer.note(&format!("{error}; going back to the one before it")),
            }
        }
        let model = self.experiment.initial_model()?;
        let start = Checkpoint {
            progress: Progress::default(),
            weights: state::weights(&model),
            optimizer: self.experiment.config.optimizer.build()?.state(),
        };
        // Whoever is killed now must find one.
        start.write(&self.folder.checkpoints(), CheckpointKind::Regular)?;
        Ok(start)
    }
}

/// The key by which a policy's learning rate is set, such as `policy.lr_max`.
pub(super) fn rate_key(policy: &PolicyConfig) -> String {
    const KEYS: [&str; 7] = [
        "lr_max",
        "max_lr",
        "peak_value",
        "lr",
        "init_value",
        "value",
        "values",
    ];
    let table = Table::try_from(policy).unwrap_or_default();
    let key = KEYS.into_iter().find(|key| {
        let value = table.get(*key);
        value.is_some_and(|value| !matches!(value, Value::Boolean(_)))
    });
    key.map_or("policy".to_owned(), |key| format!("policy.{key}"))
}
