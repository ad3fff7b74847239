//! Several processes that train one network together, or make range tests at the same time, with the bits
//! of one process.
//!
//! Each batch is cut into `shards` pieces (key `shards`, a power of two), whatever the number of
//! processes. Each process computes an equal number of successive pieces. What the pieces contribute to an update
//! ([`onecycle_burn::shards`]) is added in one fixed binary tree:
//!
//! ```text
//!             sum
//!           /     \
//!        0+1       2+3        4 shards; with 2 processes, each has one of these subtrees
//!       /   \     /   \
//!      0     1   2     3
//! ```
//!
//! So the sums have the same bits for 1, 2, 4, .. processes, up to the number of shards. The same
//! tree adds running statistics.
//!
//! One process *leads*. It is an ordinary [`Training`](crate::training::Training) with the folder,
//! the records and the observer, and tells the others what to do. They [`follow`](crate::follower::follow) with a
//! [`Trainer`](crate::trainer::Trainer) of their own, write nothing, and read the data themselves. A
//! checkpoint does not depend on the number of processes.
//!
//! A [`Group`] moves the bytes; the command's is MPI.

mod order;
mod team;
mod tree;

pub use self::team::Team;
pub(crate) use self::{
    order::{EvalSet, Order},
    tree::Tree,
};

use std::fmt::Debug;

use crate::RunError;

/// Moves bytes between the processes of a run. All processes call the same functions in the same
/// order.
pub trait Group: Debug + Send + Sync {
    /// Number of this process, from 0. Process 0 leads.
    fn rank(&self) -> usize;

    /// Number of processes, a power of two.
    fn size(&self) -> usize;

    /// Sends `mine` to another process and fills `theirs` with what that process sends. The lengths
    /// may differ, but both sides know them.
    ///
    /// # Errors
    /// The other process cannot be reached.
    fn swap(&self, partner: usize, mine: &[f32], theirs: &mut [f32]) -> Result<(), RunError>;

    /// Returns the bytes of all processes in the order of their numbers. All have the same length.
    ///
    /// # Errors
    /// A process cannot be reached.
    fn gather(&self, mine: &[u8]) -> Result<Vec<u8>, RunError>;

    /// Returns the bytes of process 0; those of the others are ignored.
    ///
    /// # Errors
    /// A process cannot be reached.
    fn broadcast(&self, bytes: Vec<u8>) -> Result<Vec<u8>, RunError>;
}
