//! The PNG of a figure shows the same shapes as its SVG.

use onecycle_plot::{Axis, Colour, Figure, HEIGHT, Mark, PNG_SCALE, Series, Style, WIDTH};
use tiny_skia::{Pixmap, PremultipliedColorU8};

/// Every style, in a colour of its own.
fn figure() -> Figure {
    let mut figure = Figure::new("test", "Title", Axis::linear("step"), Axis::linear("loss"));
    let x: Vec<f64> = (0..200).map(f64::from).collect();
    let styles = [
        Style::Line,
        Style::Dashed,
        Style::Points,
        Style::LinePoints,
        Style::Faint,
        Style::Band {
            upper: x.iter().map(|_| 9.0).collect(),
        },
    ];
    for (i, (style, colour)) in styles.into_iter().zip(Colour::ORDER).enumerate() {
        // Above the axis, which would cover a line at 0.
        let y = x.iter().map(|_| i as f64 + 1.0).collect();
        let series = Series::line(format!("series {i}"), x.clone(), y);
        figure.series.push(series.style(style).colour(colour));
    }
    figure
}

fn pixels(figure: &Figure) -> Pixmap {
    Pixmap::decode_png(&figure.png().unwrap()).unwrap()
}

/// Number of pixels of exactly this colour.
fn count(pixels: &Pixmap, hex: &str) -> usize {
    let [_, r, g, b] = u32::from_str_radix(&hex[1..], 16).unwrap().to_be_bytes();
    let wanted = PremultipliedColorU8::from_rgba(r, g, b, 255).unwrap();
    pixels.pixels().iter().filter(|p| **p == wanted).count()
}

#[test]
fn every_style_leaves_ink_in_its_colour() {
    let picture = pixels(&figure());
    assert_eq!(
        (picture.width(), picture.height()),
        (WIDTH * PNG_SCALE, HEIGHT * PNG_SCALE)
    );
    assert!(picture.pixels().iter().all(|pixel| pixel.alpha() == 255));
    // Line, dashes, points, and a line with points are opaque.
    let ink: Vec<usize> = Colour::ORDER
        .iter()
        .map(|colour| count(&picture, colour.hex()))
        .collect();
    assert!(ink[..4].iter().all(|pixels| *pixels > 1000), "{ink:?}");
    // Pale lines and areas are mixed with white: no pixel has the full colour.
    assert_eq!(ink[4..6], [0, 0]);
    let mixed = |hex: &str, opacity: f64| {
        let value = u32::from_str_radix(&hex[1..], 16).unwrap();
        let mix = |c: u8| (opacity * f64::from(c) + (1.0 - opacity) * 255.0).round() as i32;
        let [_, r, g, b] = value.to_be_bytes().map(mix);
        let near = |a: u8, b: i32| (i32::from(a) - b).abs() <= 3;
        let pixels = picture.pixels().iter();
        pixels
            .filter(|p| near(p.red(), r) && near(p.green(), g) && near(p.blue(), b))
            .count()
    };
    assert!(mixed(Colour::ORDER[4].hex(), 0.38) > 1000);
    assert!(mixed(Colour::ORDER[5].hex(), 0.22) > 50_000);
}

#[test]
fn dashes_have_gaps() {
    let ink = |style: Style| {
        let mut figure = figure();
        let line = figure.series.remove(0).style(style);
        figure.series = vec![line];
        count(&pixels(&figure), Colour::ORDER[0].hex()) as f64
    };
    // Seven units of dash per eleven units of line.
    let share = ink(Style::Dashed) / ink(Style::Line);
    assert!((0.58..0.70).contains(&share), "{share}");
}

#[test]
fn text_is_drawn() {
    let ink = "#222222";
    let plain = count(&pixels(&figure()), ink);
    assert!(plain > 1000, "{plain}");
    let mut titled = figure();
    titled.title = "A much longer title with many more letters: äöü ² × −".to_owned();
    titled.note = Some("A note below the figure.".to_owned());
    let longer = count(&pixels(&titled), ink);
    assert!(longer > plain + 1000, "{longer} after {plain}");
    titled.title = " ".to_owned();
    assert!(count(&pixels(&titled), ink) < longer);
}

#[test]
fn the_name_of_a_mark_keeps_lines_away() {
    let mut marked = figure();
    for (x, label) in [(20.0, "a rather long name"), (40.0, "peak")] {
        marked.marks.push(Mark {
            x,
            label: label.to_owned(),
        });
    }
    let grey = "#8a8a8a";
    assert!(count(&pixels(&marked), grey) > count(&pixels(&figure()), grey) + 200);
}

#[test]
fn the_same_figure_gives_the_same_bytes() {
    assert_eq!(figure().png().unwrap(), figure().png().unwrap());
}
