//! Orders from the process that leads to its [followers](crate::follower).

use crate::{
    TrainError,
    checkpoint::{Checkpoint, Progress},
    processes::{Order, Team},
    run_folder::RunFile,
    trainer::Trainer,
};

/// Makes the processes of `team` train together with `trainer`, which has not made an update. They
/// read the data that `run` describes.
///
/// # Errors
/// The shards cannot be divided equally among the processes; a process cannot be reached.
pub(crate) fn begin(team: &Team, trainer: &mut Trainer, run: &RunFile) -> Result<(), TrainError> {
    prepare(team, trainer, run)?;
    share(team, trainer, Progress::default())
}

/// Like [`begin`], without the position of `trainer`: call [`share`] before the first update.
///
/// # Errors
/// Those of [`begin`].
pub(crate) fn prepare(team: &Team, trainer: &mut Trainer, run: &RunFile) -> Result<(), TrainError> {
    trainer.set_team(team.clone())?;
    team.give(&Order::Prepare(run.to_text()?))
}

/// Brings the other processes to the position and the weights of `trainer`.
///
/// # Errors
/// A process cannot be reached.
pub(crate) fn share(team: &Team, trainer: &Trainer, progress: Progress) -> Result<(), TrainError> {
    team.give(&Order::Continue)?;
    let checkpoint = Checkpoint::of(trainer, progress, None);
    team.broadcast(checkpoint.to_bytes()?)?;
    Ok(())
}
