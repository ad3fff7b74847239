use toml::{Table, Value};

use super::{
    Training,
    start::{restore, truncate_records},
};
use crate::{
    TrainError,
    assessment::Answers,
    checkpoint::{self, Checkpoint, CheckpointKind, Progress},
    config::{OnDivergence, PolicyConfig},
    observer::Observer,
    run_folder::Retry,
};

/// Factor on the learning rate at each retry.
const LR_FACTOR: f64 = 0.5;
/// Largest number of retries of a run. A learning rate that is 256 times too large is not a slip.
const MAX_RETRIES: usize = 8;

impl Training {
    /// Whether the run retries after a loss that is not finite.
    pub(super) fn can_retry(&self) -> bool {
        self.run_file.config.on_divergence == OnDivergence::Retry
            && self.run_file.retries.len() < MAX_RETRIES
    }

    /// Returns from update `diverged_at` to a checkpoint. From there on, the learning rate is
    /// halved.
    ///
    /// `run.toml` records the retry for a resumed run. It is written after all later checkpoints
    /// are removed: a process that is killed before that diverges again in the same way and returns
    /// to the same checkpoint.
    pub(super) fn roll_back(
        &mut self,
        diverged_at: u64,
        lr: f64,
        observer: &mut dyn Observer,
    ) -> Result<(), TrainError> {
        let checkpoint = self.rollback_checkpoint(diverged_at, observer)?;
        let from = checkpoint.progress.step;
        let folder = self.folder.checkpoints();
        for saved in checkpoint::list(&folder)? {
            if saved.step > from {
                checkpoint::remove(&saved.path)?;
            }
        }
        let lr_scale = LR_FACTOR * self.run_file.lr_scale(diverged_at);
        self.run_file.retries.push(Retry {
            diverged_at,
            lr,
            from,
            lr_scale,
        });
        self.run_file.write(&self.folder.run_file())?;
        observer.note(&format!(
            "the loss is not finite at step {diverged_at} with lr = {lr}: retrying from step {from} with {lr_scale} \
             times the plan's learning rate"
        ));

        let progress = checkpoint.progress;
        truncate_records(&self.folder, &self.experiment, &progress)?;
        self.best = checkpoint.best();
        self.trainer = restore(&self.experiment, checkpoint)?;
        if let Some(team) = self.team.clone() {
            self.trainer.set_team(team)?;
        }
        self.train_metrics = progress.train_metrics();
        self.seconds = progress.seconds;
        self.records = progress.records();
        self.eval_metrics = progress.evaluated;
        self.answers = Answers::default();
        self.saved = progress;
        self.share_state()
    }

    /// The checkpoint to return to after the loss was not finite at update `diverged_at`, or the
    /// start of the run.
    ///
    /// A checkpoint taken at that update is no candidate: its weights gave that loss. If the run
    /// came no further than in an earlier attempt, the weights in the checkpoint of the last retry
    /// are ruined too, although they are finite, so only checkpoints before that one are
    /// candidates. Rollback ignores `stop-` checkpoints, so a manual stop never changes the result.
    fn rollback_checkpoint(
        &self,
        diverged_at: u64,
        observer: &mut dyn Observer,
    ) -> Result<Checkpoint, TrainError> {
        let before = self.run_file.retry_before(diverged_at);
        for saved in checkpoint::list(&self.folder.checkpoints())?.iter().rev() {
            if saved.kind == CheckpointKind::Stop || saved.step >= before {
                continue;
            }
            match Checkpoint::read(&saved.path) {
                Ok(checkpoint) => return Ok(checkpoint),
                Err(error) => observer.note(&format!("{error}; trying the previous checkpoint")),
            }
        }
        let start = Checkpoint::of(&self.experiment.trainer()?, Progress::default(), None);
        // Write it now so that a process killed here can still resume.
        start.write(&self.folder.checkpoints(), CheckpointKind::Regular)?;
        Ok(start)
    }
}

/// The configuration key that sets the learning rate of a policy, such as `policy.lr_max`.
pub(crate) fn rate_key(policy: &PolicyConfig) -> String {
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
