//! The PNG of a figure: its SVG, rendered with the embedded font.

use std::sync::Arc;

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree, fontdb};

use super::{HEIGHT, PNG_SCALE, WIDTH};
use crate::PlotError;

/// DejaVu Sans 2.37; its licence lies beside it.
static FONT: &[u8] = include_bytes!("../../assets/DejaVuSans.ttf");

/// Renders an SVG that [`super::svg`] wrote. No font of the machine is looked at.
pub(super) fn render(svg: &str, figure: &str) -> Result<Vec<u8>, PlotError> {
    let failed = |why: String| PlotError::Picture {
        figure: figure.to_owned(),
        why,
    };
    let mut fonts = fontdb::Database::new();
    fonts.load_font_source(fontdb::Source::Binary(Arc::new(FONT)));
    fonts.set_sans_serif_family("DejaVu Sans");
    let options = Options {
        fontdb: Arc::new(fonts),
        font_family: "DejaVu Sans".to_owned(),
        ..Options::default()
    };
    let tree = Tree::from_str(svg, &options).map_err(|error| failed(error.to_string()))?;
    let mut pixels = Pixmap::new(WIDTH * PNG_SCALE, HEIGHT * PNG_SCALE)
        .ok_or_else(|| failed("no memory for its pixels".to_owned()))?;
    let scale = PNG_SCALE as f32;
    resvg::render(
        &tree,
        Transform::from_scale(scale, scale),
        &mut pixels.as_mut(),
    );
    pixels
        .encode_png()
        .map_err(|error| failed(error.to_string()))
}
