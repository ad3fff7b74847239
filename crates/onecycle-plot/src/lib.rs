//! Figures from one description: SVG, PNG, CSV and text for a terminal.
//!
//! The principal type is [`Figure`]: axes, series and marks as plain data. [`Figure::files`] returns
//! the names and contents of its files; the caller writes them.
//! [`terminal::draw`] plots series with Braille characters, [`table::align`] aligns tables, and
//! [`mod@format`] formats numbers the way the figures do.
//!
//! The PNG needs the feature `png` (default), which embeds a font and links a renderer.
//!
//! The SVG and the PNG are written from the same shapes, and the PNG uses an embedded font. So both
//! look alike, and the same figure gives the same bytes on every machine.
//!
//! ```
//! use onecycle_plot::{Axis, Figure, Series};
//!
//! let mut figure = Figure::new("loss", "Training loss", Axis::linear("step"), Axis::log("loss"));
//! figure.series.push(Series::line("training", vec![0.0, 1.0, 2.0], vec![2.3, 1.1, 0.7]));
//! assert!(figure.svg()?.starts_with("<svg"));
//! assert_eq!(figure.csv()?.lines().nth(1), Some("training,0.0,2.3"));
//! # Ok::<(), onecycle_plot::PlotError>(())
//! ```
//!
//! An axis can show categories instead of numbers:
//!
//! ```
//! use onecycle_plot::{Axis, Figure, Series, Style};
//!
//! let x = Axis::categories("policy", ["one cycle", "constant"]);
//! let mut figure = Figure::new("accuracy", "Final accuracy", x, Axis::linear("accuracy (%)"));
//! let runs = Series::line("runs", vec![1.0, 1.0, 2.0, 2.0], vec![92.1, 92.4, 90.3, 90.8]);
//! figure.series.push(runs.style(Style::Points));
//! assert_eq!(figure.csv()?.lines().nth(1), Some("runs,1.0,one cycle,92.1"));
//! # Ok::<(), onecycle_plot::PlotError>(())
//! ```

mod error;
mod figure;
pub mod format;
pub mod table;
pub mod terminal;
#[cfg(feature = "web")]
pub mod web;

pub use error::PlotError;
pub use figure::{
    Axis, Colour, Figure, HEIGHT, Mark, PICTURES, PNG_SCALE, Scale, Series, Side, Style, WIDTH,
    escape_xml,
};

/// Runs the example of the README as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
