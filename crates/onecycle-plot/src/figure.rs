//! Figures: one description, written as SVG, PNG and CSV with the same data.
//!
//! [`draw`] lays a figure out and turns it into shapes; [`svg`] and [`png`] write the same shapes, so
//! both pictures look alike on every machine, and the same figure gives the same bytes. The colours
//! are those of Okabe and Ito, which can be told apart with any colour vision; lines also differ in
//! dashes or markers.

mod csv;
mod draw;
mod layout;
mod legend;
#[cfg(feature = "png")]
mod png;
mod scale;
mod shapes;
mod svg;
mod text;
mod thin;

use crate::PlotError;

pub use text::escape_xml;
#[cfg(feature = "web")]
pub(crate) use thin::thin;

/// Width of a figure in SVG user units; the PNG has [`PNG_SCALE`] pixels per unit.
pub const WIDTH: u32 = 680;
/// Height of a figure in SVG user units.
pub const HEIGHT: u32 = 440;
/// Pixels of the PNG per SVG user unit.
pub const PNG_SCALE: u32 = 2;
/// Endings of the pictures among a figure's [`files`](Figure::files).
pub const PICTURES: &[&str] = &[
    "svg",
    #[cfg(feature = "png")]
    "png",
];

/// Describes a figure: its axes, its data and its labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// Name of the figure's files without their extension: letters, digits, `-` and `_`, beginning
    /// with a letter.
    pub name: String,
    /// One line above the figure.
    pub title: String,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis on the left.
    pub y: Axis,
    /// A second vertical axis, on the right. Required if a series is on [`Side::Right`].
    pub right: Option<Axis>,
    /// The data. Later series cover earlier ones; bands and faint lines lie below all others.
    pub series: Vec<Series>,
    /// Named vertical lines, such as the first steps of phases.
    pub marks: Vec<Mark>,
    /// Small print below the figure.
    pub note: Option<String>,
}

/// An axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// Its title, with the unit.
    pub label: String,
    /// How values are laid out along it.
    pub scale: Scale,
    /// Its first and last value; `None` fits the data. Lines are cut off outside the range.
    pub range: Option<(f64, f64)>,
    /// Names of categories, the first at the value 1, the second at 2, ...; empty for an axis of
    /// numbers. Only a horizontal axis shows them.
    pub categories: Vec<String>,
}

/// How values are laid out along an axis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scale {
    /// Equal differences take equal lengths.
    #[default]
    Linear,
    /// Equal ratios take equal lengths; zero and negative values are gaps.
    Log,
}

/// Points that belong together. NaN and infinite values are gaps in the line.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Its name in the legend and in the CSV.
    pub name: String,
    /// Horizontal values, in the order in which the points are joined.
    pub x: Vec<f64>,
    /// Vertical values, as many as `x`.
    pub y: Vec<f64>,
    /// How it is drawn.
    pub style: Style,
    /// The vertical axis that `y` belongs to.
    pub side: Side,
    /// Its colour; `None` takes the next of [`Colour::ORDER`].
    pub colour: Option<Colour>,
}

/// How a series is drawn.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Style {
    /// A line.
    #[default]
    Line,
    /// A dashed line.
    Dashed,
    /// A thin, pale line below the others, for noisy raw values.
    Faint,
    /// Markers.
    Points,
    /// Markers joined by a line.
    LinePoints,
    /// The area between `y` and `upper`.
    Band {
        /// The other edge, as many values as `x`.
        upper: Vec<f64>,
    },
}

/// The vertical axis of a series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Side {
    /// [`Figure::y`].
    #[default]
    Left,
    /// [`Figure::right`].
    Right,
}

/// Colours of Okabe and Ito ("Color Universal Design", 2008), without yellow, which is hard to see
/// on white.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the names are the colours
pub enum Colour {
    Blue,
    Vermillion,
    Green,
    Purple,
    Orange,
    Sky,
    Black,
}

impl Colour {
    /// The order in which series take colours.
    pub const ORDER: [Self; 7] = [
        Self::Blue,
        Self::Vermillion,
        Self::Green,
        Self::Purple,
        Self::Orange,
        Self::Sky,
        Self::Black,
    ];

    /// The colour on white, as `#rrggbb`.
    #[must_use]
    pub fn hex(self) -> &'static str {
        match self {
            Self::Blue => "#0072b2",
            Self::Vermillion => "#d55e00",
            Self::Green => "#009e73",
            Self::Purple => "#cc79a7",
            Self::Orange => "#e69f00",
            Self::Sky => "#56b4e9",
            Self::Black => "#333333",
        }
    }

    /// The class of SVG elements of this colour, by which a page can give them another one.
    #[must_use]
    pub fn class(self) -> &'static str {
        match self {
            Self::Blue => "blue",
            Self::Vermillion => "vermillion",
            Self::Green => "green",
            Self::Purple => "purple",
            Self::Orange => "orange",
            Self::Sky => "sky",
            Self::Black => "black",
        }
    }
}

/// A vertical line with a name.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// Its value on the horizontal axis.
    pub x: f64,
    /// Its name, written above the plot. The picture omits it if there is no room.
    pub label: String,
}

impl Axis {
    /// A linear axis that fits its data.
    #[must_use]
    pub fn linear(label: impl Into<String>) -> Self {
        Self {
            label: label.into(),
            scale: Scale::Linear,
            range: None,
            categories: Vec::new(),
        }
    }

    /// An axis of categories. Points of the first one have the x value 1, of the second one 2, ...
    /// Names that do not fit beside one another are slanted, and long ones are shortened.
    #[must_use]
    pub fn categories<S: Into<String>>(
        label: impl Into<String>,
        names: impl IntoIterator<Item = S>,
    ) -> Self {
        let categories: Vec<String> = names.into_iter().map(S::into).collect();
        Self {
            range: Some((0.5, categories.len() as f64 + 0.5)),
            categories,
            ..Self::linear(label)
        }
    }

    /// The category that is closest to a value; `None` if there is none within 0.5.
    #[must_use]
    pub fn category(&self, value: f64) -> Option<&str> {
        let index = value.round() - 1.0;
        // A negative index, and that of NaN, must not become 0.
        let index = (index >= 0.0).then_some(index as usize)?;
        self.categories.get(index).map(String::as_str)
    }

    /// A logarithmic axis that fits its data.
    #[must_use]
    pub fn log(label: impl Into<String>) -> Self {
        Self {
            scale: Scale::Log,
            ..Self::linear(label)
        }
    }
}

impl Series {
    /// A line on the left axis.
    #[must_use]
    pub fn line(name: impl Into<String>, x: Vec<f64>, y: Vec<f64>) -> Self {
        Self {
            name: name.into(),
            x,
            y,
            style: Style::Line,
            side: Side::Left,
            colour: None,
        }
    }

    /// The same series in another style.
    #[must_use]
    pub fn style(self, style: Style) -> Self {
        Self { style, ..self }
    }

    /// The same series in a given colour.
    #[must_use]
    pub fn colour(self, colour: Colour) -> Self {
        Self {
            colour: Some(colour),
            ..self
        }
    }

    /// The same series on the right axis.
    #[must_use]
    pub fn on_right(self) -> Self {
        Self {
            side: Side::Right,
            ..self
        }
    }
}

impl Figure {
    /// A figure without series. Push at least one before writing it.
    #[must_use]
    pub fn new(name: impl Into<String>, title: impl Into<String>, x: Axis, y: Axis) -> Self {
        Self {
            name: name.into(),
            title: title.into(),
            x,
            y,
            right: None,
            series: Vec::new(),
            marks: Vec::new(),
            note: None,
        }
    }

    /// The figure as an SVG document that refers to nothing outside itself. A figure without any
    /// finite value is drawn with a note that says so.
    ///
    /// # Errors
    /// [`PlotError::FigureName`], [`PlotError::EmptyFigure`], [`PlotError::SeriesLength`] and
    /// [`PlotError::NoRightAxis`] for an inconsistent description.
    pub fn svg(&self) -> Result<String, PlotError> {
        self.check()?;
        Ok(svg::write(self, &draw::draw(self)))
    }

    /// The figure as a PNG, [`PNG_SCALE`] times as wide and as high as [`WIDTH`] × [`HEIGHT`]. Needs
    /// the feature `png`.
    ///
    /// # Errors
    /// Those of [`svg`](Self::svg), and [`PlotError::Picture`].
    #[cfg(feature = "png")]
    pub fn png(&self) -> Result<Vec<u8>, PlotError> {
        self.check()?;
        png::write(&self.name, &draw::draw(self))
    }

    /// All data of the figure, one row per point, in the columns `series,x,y`. If the horizontal axis
    /// has categories, a column `category` after `x` names them. If a series is a [`Style::Band`], a
    /// last column `upper` holds its other edge. Numbers read back to the same bits; gaps are `NaN`,
    /// `inf` or `-inf`.
    ///
    /// # Errors
    /// Those of [`svg`](Self::svg).
    pub fn csv(&self) -> Result<String, PlotError> {
        self.check()?;
        Ok(csv::write(self))
    }

    /// The figure's files: the names `NAME.svg`, `NAME.csv` and, with the feature `png`, `NAME.png`,
    /// with their contents.
    ///
    /// # Errors
    /// Those of [`svg`](Self::svg), and [`PlotError::Picture`].
    pub fn files(&self) -> Result<Vec<(String, Vec<u8>)>, PlotError> {
        let csv = self.csv()?;
        let drawing = draw::draw(self);
        let svg = svg::write(self, &drawing);
        let name = |extension| format!("{}.{extension}", self.name);
        Ok(vec![
            (name("svg"), svg.into_bytes()),
            #[cfg(feature = "png")]
            (name("png"), png::write(&self.name, &drawing)?),
            (name("csv"), csv.into_bytes()),
        ])
    }

    /// The colour of each series.
    pub(crate) fn colours(&self) -> Vec<Colour> {
        let mut next = Colour::ORDER.into_iter().cycle();
        // The cycle never ends; the fallback is for the type only.
        let mut next = || next.next().unwrap_or(Colour::Black);
        self.series
            .iter()
            .map(|series| series.colour.unwrap_or_else(&mut next))
            .collect()
    }

    fn check(&self) -> Result<(), PlotError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if !self.name.starts_with(|c: char| c.is_ascii_alphabetic())
            || !self.name.chars().all(plain)
        {
            return Err(PlotError::FigureName {
                name: self.name.clone(),
            });
        }
        let empty = |what: &str| PlotError::EmptyFigure {
            figure: self.name.clone(),
            what: what.to_owned(),
        };
        if self.series.is_empty() {
            return Err(empty("the list of series"));
        }
        for series in &self.series {
            let mut lists = vec![("y", series.y.len())];
            if let Style::Band { upper } = &series.style {
                lists.push(("upper", upper.len()));
            }
            if let Some((list, y)) = lists.into_iter().find(|(_, len)| *len != series.x.len()) {
                let (figure, series_name, x) =
                    (self.name.clone(), series.name.clone(), series.x.len());
                return Err(PlotError::SeriesLength {
                    figure,
                    series: series_name,
                    x,
                    y,
                    list,
                });
            }
            if series.x.is_empty() {
                return Err(empty(&format!("series {:?}", series.name)));
            }
            if series.side == Side::Right && self.right.is_none() {
                return Err(PlotError::NoRightAxis {
                    figure: self.name.clone(),
                    series: series.name.clone(),
                });
            }
        }
        Ok(())
    }
}
