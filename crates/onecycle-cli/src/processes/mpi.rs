//! A team of MPI processes.

use std::{process::ExitCode, sync::Arc};

use mpi::{
    Threading,
    environment::Universe,
    point_to_point::send_receive_into,
    topology::SimpleCommunicator,
    traits::{Communicator, CommunicatorCollectives, Root},
};
use onecycle_train::{
    ConfigError, RunError,
    follower::follow,
    processes::{Group, Team},
};

use super::{TEAM, signal};
use crate::{
    output::{self, AnyError},
    stop::Stop,
};

/// All processes of the launcher.
#[derive(Debug)]
struct World {
    rank: usize,
    size: usize,
}

/// Keeps the connection to the other processes; when dropped, tells them to end.
pub(crate) struct Joined {
    /// `None` if MPI was not started: this process is alone.
    team: Option<Team>,
    _universe: Option<Universe>,
}

/// Joins the other processes of the launcher.
///
/// # Errors
/// The MPI library lets only its first thread communicate.
pub(crate) fn join() -> Result<Joined, AnyError> {
    // The training loop calls MPI from a thread of the pool, one call at a time.
    let Some((universe, threading)) = mpi::initialize_with_threading(Threading::Serialized) else {
        return Err("MPI was initialised twice".into());
    };
    let world = SimpleCommunicator::world();
    let world = World {
        rank: world.rank() as usize,
        size: world.size() as usize,
    };
    let team = (world.size > 1).then(|| Team::new(Arc::new(world), signal()));
    if team.is_some() && threading < Threading::Serialized {
        return Err("this MPI library was built without support for threads".into());
    }
    if let Some(team) = team.as_ref().filter(|team| team.leads()) {
        // The only call that sets it.
        let _ = TEAM.set(team.clone());
    }
    Ok(Joined {
        team,
        _universe: Some(universe),
    })
}

impl Joined {
    /// Follows the leader to the end; `None` if this process leads or is alone. `threads` are those of
    /// the command line, 0 if it does not say. An error ends all processes.
    pub(crate) fn follow(
        &self,
        threads: impl FnOnce() -> Result<usize, ConfigError>,
    ) -> Result<Option<ExitCode>, AnyError> {
        let Some(team) = self.team.as_ref().filter(|team| !team.leads()) else {
            return Ok(None);
        };
        // The leader decides when to stop.
        Stop::listen_quietly().stop_after_step();
        let followed = match threads() {
            Ok(threads) => follow(team, threads),
            Err(error) => Err(error.into()),
        };
        match followed {
            Ok(()) => Ok(Some(ExitCode::SUCCESS)),
            Err(error) => {
                output::note(&output::one_line(&format!("onecycle: {error}")));
                // The others wait for this process.
                SimpleCommunicator::world().abort(1)
            }
        }
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        if let Some(team) = &self.team
            && team.end().is_err()
        {
            SimpleCommunicator::world().abort(1)
        }
    }
}

impl Group for World {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn swap(&self, partner: usize, mine: &[f32], theirs: &mut [f32]) -> Result<(), RunError> {
        let world = SimpleCommunicator::world();
        let partner = world.process_at_rank(number(partner)?);
        send_receive_into(mine, &partner, theirs, &partner);
        Ok(())
    }

    fn gather(&self, mine: &[u8]) -> Result<Vec<u8>, RunError> {
        let mut all = vec![0; mine.len() * self.size];
        SimpleCommunicator::world().all_gather_into(mine, &mut all[..]);
        Ok(all)
    }

    fn broadcast(&self, mut bytes: Vec<u8>) -> Result<Vec<u8>, RunError> {
        let world = SimpleCommunicator::world();
        let leader = world.process_at_rank(0);
        let mut len = bytes.len() as u64;
        leader.broadcast_into(&mut len);
        bytes.resize(len as usize, 0);
        leader.broadcast_into(&mut bytes[..]);
        Ok(bytes)
    }
}

/// The number of a process as MPI has it.
fn number(rank: usize) -> Result<i32, RunError> {
    i32::try_from(rank).map_err(|_| RunError::Processes {
        why: format!("process {rank}: MPI has fewer"),
    })
}
