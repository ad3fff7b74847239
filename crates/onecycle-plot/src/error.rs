/// Describes why a figure cannot be drawn.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlotError {
    /// A figure has no series, or a series has no points.
    #[error("figure {figure}: {what} is empty; it needs at least one point")]
    EmptyFigure {
        /// The figure's name.
        figure: String,
        /// "the list of series", or the series' name.
        what: String,
    },

    /// The lists of a series differ in length.
    #[error(
        "figure {figure}, series {series:?}: {x} x values, but {y} {list} values; both lists must have the same length"
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

    /// A series uses the right axis of a figure without one.
    #[error(
        "figure {figure}: series {series:?} is on the right axis, but the figure has none; set `right`"
    )]
    NoRightAxis {
        /// The figure's name.
        figure: String,
        /// The series' name.
        series: String,
    },

    /// A name that cannot be part of a file name.
    #[error(
        "{name:?} cannot name the files of a figure: use letters, digits, `-` and `_`, beginning with a letter"
    )]
    FigureName {
        /// The name.
        name: String,
    },

    /// The picture could not be drawn or encoded.
    #[error("figure {figure}: cannot draw the picture: {why}")]
    Picture {
        /// The figure's name.
        figure: String,
        /// The cause.
        why: String,
    },
}
