//! Runs of `onecycle`: configuration, training loop, checkpoints, records, figures and reports.
//!
//! | module | what it holds |
//! |---|---|
//! | [`figure`] | figures as SVG, PNG and CSV from one description |
//! | [`figures`] | the figures of a run |
//! | [`files`] | whole-file writes, checksums, JSON-lines files that survive a cut |
//! | [`record`] | the lines of `steps.jsonl` and `epochs.jsonl` |
//! | [`report`] | `report.html`, a run on one page |

mod error;
pub mod figure;
pub mod figures;
pub mod files;
mod number;
pub mod record;
pub mod report;

pub use error::LabError;
