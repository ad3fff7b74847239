use onecycle::Hyper;
use serde::{Deserialize, Serialize};

/// What the leader tells the other processes to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Order {
    /// Read the data of the run with this `run.toml`.
    Prepare(String),
    /// Continue from the checkpoint that follows.
    Continue,
    /// Make an update with these hyper-parameters.
    Step(Hyper),
    /// Evaluate a batch each, beginning with the image of this index.
    Evaluate(EvalSet, usize),
    /// Make one range test each. The text is a [`Round`](crate::lr_search::round::Round): process `i` makes
    /// test `i`. A process without a test waits for the others.
    RangeTests(String),
    /// Return.
    End,
}

/// Images to evaluate on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum EvalSet {
    /// Evaluated after each epoch.
    Validation,
    /// Evaluated at the end of the run.
    Test,
}
