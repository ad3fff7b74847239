//! The search for a learning rate: range tests, short cycles, and the choice between them.
//!
//! | module | contents |
//! |---|---|
//! | [`settings`] | settings of a range test |
//! | [`mod@range_test`] | range tests of a configuration, over seeds and weight decays |
//! | [`one_test`] | one range test |
//! | [`found`] | their result: `range_test.json` |
//! | [`trial`] | one cycle in memory, evaluated on held-out images |
//! | [`search`] | search for the peak by a few short cycles |
//! | [`cycles`] | result of that search |
//! | [`fit`] | from both to the configuration of a run |
//! | [`context`] | processes, journal and observer of a search |
//! | [`journal`] | finished parts on disk, so that a stopped search continues |
//! | [`suggest`] | every rule applied to a curve |
//! | [`curve_file`] | recorded curves in the formats that tools write |

mod batches;
pub mod context;
pub mod curve_file;
pub mod cycles;
pub mod fit;
pub mod found;
pub mod journal;
pub mod one_test;
pub mod range_test;
pub(crate) mod round;
pub mod search;
pub mod settings;
pub mod suggest;
pub mod trial;
