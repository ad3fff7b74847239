//! Writes [TensorBoard](https://www.tensorflow.org/tensorboard)'s event files without TensorFlow.
//!
//! The principal type is [`EventWriter`]: it takes [`Event`]s and writes them as the records of an
//! event file to anything that implements [`Write`](std::io::Write). An event holds a [`Summary`]:
//! scalars, texts, images and hyper-parameters with their tags.
//!
//! ```
//! use onecycle_tensorboard::{Event, EventWriter, Summary};
//!
//! let mut file = Vec::new();
//! let mut writer = EventWriter::new(&mut file, 1.7e9)?;
//! for step in 0..3 {
//!     let summary = Summary::default().scalar("loss", 1.0 / (step + 1) as f64);
//!     writer.write(Event::summary(1.7e9 + step as f64, step, summary))?;
//! }
//! writer.flush()?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! TensorBoard reads every file below its `--logdir` whose name contains `tfevents`; files of one
//! folder are one run, in the order of their names. [`file_name`] returns such a name.

mod event;
mod hparams;
mod record;
mod writer;

pub use event::{Event, Summary};
pub use hparams::{Experiment, HParam, Metric, SessionStatus};
pub use record::{masked_crc, write_record};
pub use writer::EventWriter;

/// Name of an event file that `program` begins at `seconds` since 1970. `number` orders files that
/// begin within a second.
#[must_use]
pub fn file_name(seconds: u64, program: &str, number: usize) -> String {
    format!("events.out.tfevents.{seconds:010}.{program}.{number:04}")
}

/// Whether a file has a name of [`file_name`] with this program.
#[must_use]
pub fn is_file_of(name: &str, program: &str) -> bool {
    let rest = name.strip_prefix("events.out.tfevents.");
    let mut parts = rest.unwrap_or_default().split('.').skip(1);
    parts.next() == Some(program)
}

/// Runs the example of the README as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
