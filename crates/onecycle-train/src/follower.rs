//! A process that trains with others and does not lead: [`follow`].

use crate::{
    Experiment, RunError, TrainError,
    checkpoint::Checkpoint,
    device,
    experiment::DataCache,
    lr_search::round::{self, Round},
    processes::{Order, Team},
    rounds,
    run_folder::RunFile,
    trainer::Trainer,
    training::restore,
};

/// Trains as one of the processes that do not lead, until the leader has finished. Writes nothing.
/// Uses `threads` threads, or those of the configuration if it is 0.
///
/// # Errors
/// The data cannot be read, or differ from those of the leader; a process cannot be reached. The
/// other processes then wait forever: end the group.
pub fn follow(team: &Team, threads: usize) -> Result<(), TrainError> {
    let mut experiment: Option<Experiment> = None;
    let mut trainer: Option<Trainer> = None;
    let mut cache = DataCache::default();
    loop {
        match (team.receive()?, &experiment, &mut trainer) {
            (Order::Prepare(run), ..) => experiment = Some(prepare(&run, threads, &mut cache)?),
            (Order::Continue, Some(experiment), _) => {
                let bytes = team.broadcast(Vec::new())?;
                let checkpoint =
                    Checkpoint::from_bytes(&bytes).map_err(|why| RunError::Processes { why })?;
                let mut restored = restore(experiment, checkpoint)?;
                restored.set_team(team.clone())?;
                trainer = Some(restored);
            }
            (Order::Step(hyper), _, Some(trainer)) => {
                trainer.step_with(&hyper)?;
            }
            (Order::Evaluate(set, first), Some(experiment), Some(trainer)) => {
                rounds::logits(team, experiment, &trainer.network(), set, first)?;
            }
            (Order::RangeTests(round), ..) => {
                let Round { options, tests } = Round::parse(&round)?;
                let own = match tests.get(team.rank()) {
                    Some(test) => Some((prepare(&test.run, threads, &mut cache)?, test.hyper)),
                    None => None,
                };
                let test = own.as_ref().map(|(experiment, hyper)| (experiment, *hyper));
                round::follow(team, test, &options)?;
            }
            (Order::End, ..) => return Ok(()),
            (order, ..) => {
                let why = format!("{order:?} came before the run was prepared");
                return Err(RunError::Processes { why }.into());
            }
        }
    }
}

/// Reads the data of a run, and checks that they are those of the leader.
fn prepare(run: &str, threads: usize, cache: &mut DataCache) -> Result<Experiment, TrainError> {
    let run = RunFile::parse(run).map_err(|why| RunError::Processes { why })?;
    device::set_threads(if threads > 0 {
        threads
    } else {
        run.config.threads
    })?;
    let experiment = Experiment::prepare_recorded(run.config.clone(), run.init.clone(), cache)?;
    let differences = run.data.differences(&RunFile::of(&experiment).data);
    if differences.is_empty() {
        return Ok(experiment);
    }
    let why = format!(
        "this process reads other data than process 0 ({}): all must see the same files",
        differences.join(", ")
    );
    Err(RunError::Processes { why }.into())
}
