//! Resolving a preset over a run: from its parameters to tables of values.

use crate::{PolicyError, clock::Extent, table::Table};

/// The resolved tables of a preset.
#[derive(Debug, Clone)]
pub(crate) struct Tracks {
    pub(crate) lr: Table,
    pub(crate) momentum: Option<Table>,
}

impl From<Table> for Tracks {
    fn from(lr: Table) -> Self {
        Tracks { lr, momentum: None }
    }
}

/// Operations of the parameter struct of every preset.
pub(crate) trait Resolve {
    /// Checks everything that does not depend on the run.
    fn check(&self) -> Result<(), PolicyError>;

    /// Converts spans to steps and returns the tables.
    fn resolve(&self, extent: &Extent<'_>) -> Result<Tracks, PolicyError>;

    /// Number of steps, if the preset defines its own length.
    fn length(&self) -> Option<u64> {
        None
    }

    /// Whether the formula continues past [`Resolve::length`], as its original does. Otherwise the
    /// plan ends there.
    fn continues(&self) -> bool {
        true
    }
}
