//! Figures from one description: SVG, PNG, CSV and text for a terminal.
//!
//! The principal type is [`Figure`]: axes, series and marks as plain data. [`Figure::svg`],
//! [`Figure::png`] and [`Figure::csv`] return the contents of its files; the caller writes them.
//! [`terminal::draw`] plots series with Braille characters, [`table::align`] sets tables,
//! and [`format`] prints numbers the way the figures do.
//!
//! The same figure gives the same bytes on every machine: the SVG writer is the only one that
//! draws, and the PNG is a rendering of that SVG with an embedded font.
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

mod error;
mod figure;
pub mod format;
pub mod table;
pub mod terminal;

pub use error::PlotError;
pub use figure::{
    Axis, Colour, Figure, HEIGHT, Mark, PNG_SCALE, Scale, Series, Side, Style, WIDTH, escape_xml,
};
