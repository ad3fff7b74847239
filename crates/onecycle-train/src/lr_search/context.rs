//! Processes, journal and observer of a search: [`Context`].

use super::journal::Journal;
use crate::{observer::Observer, processes::Team};

/// Processes, journal and observer of range tests and short cycles.
pub struct Context<'a> {
    /// Processes that make a range test each, and each short cycle together; `None` for this one
    /// alone.
    pub team: Option<&'a Team>,
    /// Keeps finished tests and cycles.
    pub journal: &'a mut Journal,
    /// Receives the progress.
    pub observer: &'a mut dyn Observer,
}
