//! Runs of `onecycle`: configuration, training loop, checkpoints, records, figures and reports.
//!
//! | module | what it holds |
//! |---|---|
//! | [`figure`] | figures as SVG, PNG and CSV from one description |
//! | [`figures`] | the figures of a run |
//! | [`files`] | whole-file writes, checksums, JSON-lines files that survive a cut |
//! | [`plan_view`] | a plan as table, CSV, JSON, figure and text for a terminal |
//! | [`record`] | the lines of `steps.jsonl` and `epochs.jsonl` |
//! | [`report`] | `report.html`, a run on one page |

mod error;
pub mod figure;
pub mod figures;
pub mod files;
mod number;
pub mod plan_view;
pub mod record;
pub mod report;

pub use error::LabError;
