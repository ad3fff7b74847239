//! The processes that `mpirun` or `srun` has started, as one team.
//!
//! Without the feature `mpi` there is never a team: [`join`] then only checks that no launcher has
//! started several processes, which would all write the same run.

#[cfg(feature = "mpi")]
mod mpi;

#[cfg(feature = "mpi")]
pub(crate) use self::mpi::{Joined, join};

use std::sync::{Arc, OnceLock, atomic::AtomicI32};

use onecycle_train::{ConfigError, config::Layers, processes::Team};

/// The team of this process, if it leads one.
static TEAM: OnceLock<Team> = OnceLock::new();
/// Number of the first signal that a process of the team has received; 0 if none has.
static SIGNAL: OnceLock<Arc<AtomicI32>> = OnceLock::new();

/// Number of the first signal, shared with the other processes of the team.
pub(crate) fn signal() -> Arc<AtomicI32> {
    Arc::clone(SIGNAL.get_or_init(Arc::default))
}

/// The team that this process leads; `None` if it is alone.
pub(crate) fn team() -> Option<Team> {
    TEAM.get().cloned()
}

/// Sets `shards` to the number of processes, unless the configuration has shards.
pub(crate) fn share_batches(layers: Layers) -> Result<Layers, ConfigError> {
    let processes = team().map_or(1, |team| team.size());
    if processes == 1 || layers.clone().resolve()?.shards > 1 {
        return Ok(layers);
    }
    layers.set("shards", &processes.to_string())
}

#[cfg(not(feature = "mpi"))]
pub(crate) use self::without_mpi::{Joined, join};

#[cfg(not(feature = "mpi"))]
mod without_mpi {
    use std::{env, process::ExitCode};

    use onecycle_train::ConfigError;

    use crate::output::AnyError;

    /// Variables in which launchers tell a process how many there are: Open MPI's, and PMI's of
    /// MPICH and Slurm.
    const SIZES: [&str; 2] = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE"];

    /// Keeps the connection to the other processes.
    pub(crate) struct Joined;

    /// Joins the other processes of the launcher.
    ///
    /// # Errors
    /// There are others.
    pub(crate) fn join() -> Result<Joined, AnyError> {
        let size = |name: &&str| env::var(name).ok()?.parse::<usize>().ok();
        match SIZES.iter().find_map(size) {
            Some(size) if size > 1 => Err(format!(
                "{size} processes were started together, but this command was built without MPI; build it with \
                 `cargo build --release -p onecycle-cli --features mpi`, or start it alone"
            )
            .into()),
            _ => Ok(Joined),
        }
    }

    impl Joined {
        /// Follows the leader to the end; `None` if this process leads or is alone.
        pub(crate) fn follow(
            &self,
            _threads: impl FnOnce() -> Result<usize, ConfigError>,
        ) -> Result<Option<ExitCode>, AnyError> {
            Ok(None)
        }
    }
}
