//! What can go wrong in a run, with the file, key or value that it went wrong with.

use std::io;
use std::path::{Path, PathBuf};

/// Any error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LabError {
    /// A file or folder could not be read, written, renamed or synced.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried: "read", "write", "create the folder", ...
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },

    /// A whole line of a JSON-lines file is not what it should be.
    #[error(
        "{}, line {line}: {source}; repair or remove that line (only a cut last line is passed over)",
        path.display()
    )]
    JsonLine {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1 as editors do.
        line: usize,
        /// What the parser said.
        #[source]
        source: serde_json::Error,
    },

    /// A JSON-lines file holds fewer whole lines than were asked to be kept.
    #[error(
        "{} holds {found} whole lines, {wanted} are needed; the record and the checkpoint are not of the same run",
        path.display()
    )]
    TooFewLines {
        /// The file.
        path: PathBuf,
        /// Whole lines found.
        found: usize,
        /// Lines asked for.
        wanted: usize,
    },

    /// A value could not be turned into JSON.
    #[error("cannot turn {what} into JSON: {source}")]
    ToJson {
        /// What the value was.
        what: String,
        /// What the serializer said.
        #[source]
        source: serde_json::Error,
    },

    /// A figure has no series, or a series has no points.
    #[error("figure {figure}: {what} is empty; there must be at least one point to draw")]
    EmptyFigure {
        /// The figure's name.
        figure: String,
        /// "the list of series", or the series' name.
        what: String,
    },

    /// The lists of a series differ in length.
    #[error(
        "figure {figure}, series {series:?}: {x} x values, but {y} {list} values; give as many of both"
    )]
    SeriesLength {
        /// The figure's name.
        figure: String,
        /// The series' name.
        series: String,
        /// Number of x values.
        x: usize,
        /// Number of values in the other list.
        y: usize,
        /// The other list: "y" or "upper".
        list: &'static str,
    },

    /// A series is on the right axis of a figure that has none.
    #[error(
        "figure {figure}: series {series:?} is on the right axis, but the figure has none; set `right`"
    )]
    NoRightAxis {
        /// The figure's name.
        figure: String,
        /// The series' name.
        series: String,
    },

    /// A name that cannot be the name of a file.
    #[error(
        "{name:?} cannot name a figure's files: use letters, digits, `-` and `_`, and begin with a letter"
    )]
    FigureName {
        /// The name.
        name: String,
    },

    /// A picture could not be made from a figure.
    #[error("figure {figure}: cannot draw the picture: {why}")]
    Picture {
        /// The figure's name.
        figure: String,
        /// What the renderer said.
        why: String,
    },
}

impl LabError {
    /// Turns an [`io::Error`] into one that names the file.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}
