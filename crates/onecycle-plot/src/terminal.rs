//! Plots series as text: panels below one another with a common horizontal axis.

use crate::format::significant;

/// The characters for curves and axes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Charset {
    /// Braille patterns with 2 × 4 dots per character, and box drawing characters.
    #[default]
    Braille,
    /// ASCII only, for terminals and logs without Unicode.
    Ascii,
}

impl Charset {
    /// Columns and rows of dots per character.
    fn dots(self) -> (usize, usize) {
        match self {
            Self::Braille => (2, 4),
            Self::Ascii => (1, 1),
        }
    }

    /// Vertical axis, vertical axis with a tick, corner, horizontal axis.
    fn axes(self) -> [char; 4] {
        match self {
            Self::Braille => ['│', '┤', '└', '─'],
            Self::Ascii => ['|', '+', '+', '-'],
        }
    }
}

/// Minimum width in columns.
const MIN_WIDTH: usize = 24;
/// Minimum height of a panel in lines.
const MIN_ROWS: usize = 2;

/// The labels below the horizontal axis: at its left end, in the middle if there is room, and at
/// its right end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XLabels {
    /// The first value.
    pub first: String,
    /// The name of the axis.
    pub name: &'static str,
    /// The last value; empty if there is only one point.
    pub last: String,
}

impl XLabels {
    /// Labels for steps that count from 0.
    pub fn steps(steps: usize) -> XLabels {
        XLabels {
            first: "0".to_owned(),
            name: "step",
            last: match steps {
                0 | 1 => String::new(),
                _ => (steps - 1).to_string(),
            },
        }
    }
}

/// Draws named panels into at most `width` columns and `height` lines (with a minimum of both).
/// Every line ends with a line feed and has no trailing blanks.
pub fn draw(
    panels: &[(&str, &[f64])],
    x_labels: &XLabels,
    width: usize,
    height: usize,
    charset: Charset,
) -> String {
    // Each panel has a line for its name; the horizontal axis takes two.
    let rows = height.saturating_sub(2 + panels.len()) / panels.len().max(1);
    let rows = rows.max(MIN_ROWS);
    let ranges: Vec<ValueRange> = panels
        .iter()
        .map(|(_, values)| ValueRange::new(values))
        .collect();
    let labels: Vec<Vec<(usize, String)>> = ranges.iter().map(|range| range.labels(rows)).collect();
    let margin = labels
        .iter()
        .flatten()
        .map(|(_, label)| label.chars().count())
        .max()
        .unwrap_or(0);
    // The axis and a blank separate the labels from the plot.
    let columns = width.max(MIN_WIDTH).saturating_sub(margin + 2).max(1);
    let [bar, tick, corner, dash] = charset.axes();
    let mut lines = Vec::new();
    for (((name, values), range), labels) in panels.iter().zip(&ranges).zip(&labels) {
        lines.push(format!("{:margin$} {name}", ""));
        let plot = plot(values, range, columns, rows, charset);
        for (row, text) in plot.iter().enumerate() {
            let label = labels.iter().find(|(at, _)| *at == row);
            let (label, axis) = label.map_or(("", bar), |(_, label)| (label.as_str(), tick));
            lines.push(format!("{label:>margin$} {axis}{text}"));
        }
    }
    lines.push(format!(
        "{:margin$} {corner}{}",
        "",
        dash.to_string().repeat(columns)
    ));
    lines.push(format!("{:margin$}  {}", "", x_labels.line(columns)));
    lines
        .iter()
        .map(|line| format!("{}\n", line.trim_end()))
        .collect()
}

/// Draws one curve without axes, from its smallest to its largest value, as `rows` lines of `columns`
/// characters. Values that are not finite leave gaps.
///
/// ```
/// use onecycle_plot::terminal::{Charset, curve};
///
/// let lines = curve(&[0.0, 1.0, 2.0, 1.0, 0.0], 5, 3, Charset::Ascii);
/// assert_eq!(lines, ["  *  ", " * * ", "*   *"]);
/// ```
pub fn curve(values: &[f64], columns: usize, rows: usize, charset: Charset) -> Vec<String> {
    plot(values, &ValueRange::new(values), columns, rows, charset)
}

/// Draws one curve in a single line of at most `columns` characters: the height of each one is the
/// mean of its values, from the smallest to the largest. A value that is not finite leaves a gap.
///
/// ```
/// use onecycle_plot::terminal::{Charset, sparkline};
///
/// assert_eq!(sparkline(&[1.0, 2.0, 4.0, 8.0], 40, Charset::Braille), "▁▂▄█");
/// assert_eq!(sparkline(&[1.0, 3.0, 8.0, 8.0], 2, Charset::Braille), "▁█");
/// ```
pub fn sparkline(values: &[f64], columns: usize, charset: Charset) -> String {
    let levels = match charset {
        Charset::Braille => ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'],
        Charset::Ascii => ['_', '.', '-', '=', '+', '*', '#', '@'],
    };
    let columns = columns.min(values.len());
    let means: Vec<f64> = (0..columns)
        .map(|column| {
            let from = column * values.len() / columns;
            let to = (column + 1) * values.len() / columns;
            let part = &values[from..to];
            part.iter().sum::<f64>() / part.len() as f64
        })
        .collect();
    let range = ValueRange::new(&means);
    means
        .iter()
        .map(|mean| match range.row(*mean, levels.len()) {
            Some(row) => levels[levels.len() - 1 - row],
            None => ' ',
        })
        .collect()
}

/// Smallest and largest value of a panel.
struct ValueRange {
    lo: f64,
    hi: f64,
}

impl ValueRange {
    fn new(values: &[f64]) -> Self {
        let finite = values.iter().filter(|value| value.is_finite());
        let (lo, hi) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), v| {
            (lo.min(*v), hi.max(*v))
        });
        Self { lo, hi }
    }

    fn is_flat(&self) -> bool {
        self.hi - self.lo <= 1e-9 * self.hi.abs().max(self.lo.abs())
    }

    /// The row of a value among `rows` rows, counted from the top. A constant curve lies in the
    /// middle.
    fn row(&self, value: f64, rows: usize) -> Option<usize> {
        if !value.is_finite() {
            return None;
        }
        if self.is_flat() {
            return Some((rows - 1) / 2);
        }
        let place = (self.hi - value) / (self.hi - self.lo);
        Some((place * (rows - 1) as f64).round() as usize)
    }

    /// Labels of the vertical axis: the largest and the smallest value and, if there is room, the
    /// one in the middle.
    fn labels(&self, rows: usize) -> Vec<(usize, String)> {
        if self.lo > self.hi {
            return Vec::new();
        }
        if self.is_flat() {
            return vec![((rows - 1) / 2, significant(self.hi))];
        }
        let mut labels = vec![(0, significant(self.hi)), (rows - 1, significant(self.lo))];
        if rows >= 5 && rows % 2 == 1 {
            labels.insert(1, (rows / 2, significant((self.lo + self.hi) / 2.0)));
        }
        labels
    }
}

/// The rows of a plot. Each column of dots covers one or several steps, or a part of one step. It
/// is filled from the smallest to the largest of its values and joined to the column before.
fn plot(
    values: &[f64],
    range: &ValueRange,
    columns: usize,
    rows: usize,
    charset: Charset,
) -> Vec<String> {
    let (dots_x, dots_y) = charset.dots();
    let (wide, high) = (columns * dots_x, rows * dots_y);
    let mut dots = vec![false; wide * high];
    let mut last: Option<usize> = None;
    for column in 0..wide {
        let from = column * values.len() / wide;
        let to = ((column + 1) * values.len() / wide).max(from + 1);
        let part = values.get(from..to).unwrap_or_default();
        let at: Vec<Option<usize>> = part.iter().map(|value| range.row(*value, high)).collect();
        let inside = at.iter().flatten().copied();
        let (Some(mut top), Some(mut bottom)) = (inside.clone().min(), inside.max()) else {
            last = None;
            continue;
        };
        if let (Some(last), Some(Some(first))) = (last, at.first()) {
            // Extend to the row next to the end of the previous column.
            match last.cmp(first) {
                std::cmp::Ordering::Less => top = top.min(last + 1),
                std::cmp::Ordering::Greater => bottom = bottom.max(last - 1),
                std::cmp::Ordering::Equal => {}
            }
        }
        (top..=bottom).for_each(|row| dots[row * wide + column] = true);
        last = at.last().copied().flatten();
    }
    let character = |row: usize, column: usize| {
        let mut bits = 0_u32;
        for y in 0..dots_y {
            for x in 0..dots_x {
                if dots[(row * dots_y + y) * wide + column * dots_x + x] {
                    bits |= BRAILLE[y][x];
                }
            }
        }
        match (charset, bits) {
            (_, 0) => ' ',
            (Charset::Ascii, _) => '*',
            (Charset::Braille, bits) => char::from_u32(0x2800 + bits).unwrap_or(' '),
        }
    };
    (0..rows)
        .map(|row| (0..columns).map(|column| character(row, column)).collect())
        .collect()
}

/// The bit of each dot in a Braille pattern, by row and column (Unicode block U+2800).
const BRAILLE: [[u32; 2]; 4] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];

impl XLabels {
    /// First and last value at the ends of the axis, with its name between them if there is room.
    fn line(&self, columns: usize) -> String {
        let XLabels { first, name, last } = self;
        let free = columns.saturating_sub(first.chars().count() + last.chars().count());
        if last.is_empty() {
            format!("{first}  {name}")
        } else if free >= name.len() + 4 {
            format!("{first}{name:^free$}{last}")
        } else {
            format!("{first}{:free$}{last}", "")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rises to 0.8 and falls over 41 steps, then to 0; momentum moves opposite to it.
    fn cycle() -> (Vec<f64>, Vec<f64>) {
        let lr = |n: i32| {
            if n <= 40 {
                0.8 - 0.035 * f64::from((n - 20).abs())
            } else {
                0.1 - 0.01 * f64::from(n - 40)
            }
        };
        let momentum = |n: i32| {
            if n <= 40 {
                0.85 + 0.005 * f64::from((n - 20).abs())
            } else {
                0.95
            }
        };
        ((0..=50).map(lr).collect(), (0..=50).map(momentum).collect())
    }

    #[test]
    fn ascii_panels() {
        let (lr, momentum) = cycle();
        let text = draw(
            &[("learning rate", &lr), ("momentum", &momentum)],
            &XLabels::steps(51),
            40,
            16,
            Charset::Ascii,
        );
        let wanted = [
            "     learning rate",
            " 0.8 +            ****",
            "     |         ***   ***",
            "     |      ****        ****",
            "     |   ***               ***",
            "     |****                    ****",
            "   0 +                            ******",
            "     momentum",
            "0.95 +**                        ********",
            "     | ***                   ***",
            "     |    ****            ****",
            "     |       ***       ***",
            "     |          **   ***",
            "0.85 +            ****",
            "     +----------------------------------",
            "      0             step              50",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), wanted, "\n{text}");
    }

    #[test]
    fn braille_panels() {
        let (lr, momentum) = cycle();
        let text = draw(
            &[("learning rate", &lr), ("momentum", &momentum)],
            &XLabels::steps(51),
            40,
            14,
            Charset::Braille,
        );
        let wanted = [
            "     learning rate",
            " 0.8 ┤           ⡠⠤⠊⠒⠤⣀",
            "     │       ⢀⣀⠔⠉      ⠑⠤⣀",
            " 0.4 ┤     ⡠⠒⠁            ⠉⠢⣀",
            "     │ ⢀⠤⠊⠉                  ⠉⠒⢄",
            "   0 ┤⠒⠁                        ⠉⠒⠒⠢⠤⠤⣀⣀",
            "     momentum",
            "0.95 ┤⠉⠢⣀                      ⡠⠒⠉⠉⠉⠉⠉⠉⠉",
            "     │   ⠑⠤⡀                ⣀⠔⠉",
            " 0.9 ┤     ⠈⠒⠢⣀          ⡠⠒⠊",
            "     │         ⠑⠤⡀    ⣀⠔⠉",
            "0.85 ┤           ⠈⠒⢄⠤⠊",
            "     └──────────────────────────────────",
            "      0             step              50",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), wanted, "\n{text}");
    }

    #[test]
    fn plots_fit_the_requested_size() {
        let (lr, momentum) = cycle();
        for charset in [Charset::Ascii, Charset::Braille] {
            for (width, height) in [(24, 8), (40, 10), (80, 24), (200, 60), (81, 25)] {
                let text = draw(
                    &[("learning rate", &lr), ("momentum", &momentum)],
                    &XLabels::steps(51),
                    width,
                    height,
                    charset,
                );
                assert!(
                    text.lines().count() <= height,
                    "{} lines for {height}",
                    text.lines().count()
                );
                let widest = text.lines().map(|line| line.chars().count()).max();
                assert_eq!(widest, Some(width), "\n{text}");
            }
            // A smaller size counts as the minimum.
            assert_eq!(
                draw(&[("lr", &lr)], &XLabels::steps(51), 0, 0, charset)
                    .lines()
                    .count(),
                5
            );
        }
    }

    #[test]
    fn unusual_series_are_drawn() {
        for values in [
            &[][..],
            &[0.1],
            &[0.1; 500],
            &[f64::NAN, f64::NAN],
            &[0.0, f64::INFINITY, 1.0],
            &[0.0],
        ] {
            for charset in [Charset::Ascii, Charset::Braille] {
                let text = draw(
                    &[("lr", values)],
                    &XLabels::steps(values.len()),
                    40,
                    10,
                    charset,
                );
                assert!(
                    text.contains("lr") && text.contains("step"),
                    "{values:?}:\n{text}"
                );
            }
        }
        let flat = draw(
            &[("lr", &[0.1; 500])],
            &XLabels::steps(500),
            30,
            8,
            Charset::Ascii,
        );
        assert!(
            flat.contains(&format!("0.1 +{}", "*".repeat(25))),
            "\n{flat}"
        );
    }
}
