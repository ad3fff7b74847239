use std::fmt::Write as _;

use onecycle_plot::escape_xml as escape;

use super::{Page, base64};
use crate::training_images::{Example, TrainingImages};

/// Images whose sides are below this number of pixels are enlarged without smoothing.
const SMALL: usize = 96;

/// Appends the section with some training images. The picture is in the page once; each image shows
/// its part of it.
pub(super) fn write(page: &mut Page, images: &TrainingImages, picture: &[u8]) {
    page.heading("training-images", "Training images");
    page.paragraph(
        "soft",
        "The first images of the run as the network saw them, with the augmentation of the \
         configuration.",
    );
    let html = page.html();
    let columns = images.columns.max(1);
    let rows = images.images.len().div_ceil(columns);
    let small = match images.height.max(images.width) < SMALL {
        true => " small",
        false => "",
    };
    // Writing to a String cannot fail, here and below.
    let _ = writeln!(
        html,
        "<div class=\"card samples{small}\" style=\"--columns:{columns};--rows:{rows};\
         --shape:{}/{};--picture:url(data:image/png;base64,{})\">",
        images.width,
        images.height,
        base64::encode(picture),
    );
    let place = |index: usize, count: usize| 100.0 * index as f64 / (count - 1).max(1) as f64;
    for (index, image) in images.images.iter().enumerate() {
        let name = escape(&name(image));
        let _ = writeln!(
            html,
            "<div><i role=\"img\" aria-label=\"{name}\" style=\"background-position:{:.4}% {:.4}%\"></i>\
             <p>{name}</p></div>",
            place(index % columns, columns),
            place(index / columns, rows),
        );
    }
    html.push_str(
        "</div>\n<p class=\"soft\">Data: <a href=\"figures/training-images.json\">JSON</a>; \
         picture: <a href=\"figures/training-images.png\">PNG</a>.</p>\n",
    );
}

/// The class, or both classes with their shares.
fn name(image: &Example) -> String {
    match (&image.mixed_with, image.share) {
        (Some(other), Some(share)) => format!(
            "{} {:.0} %, {other} {:.0} %",
            image.class,
            100.0 * share,
            100.0 * (1.0 - share),
        ),
        _ => image.class.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_image_shows_its_part_of_the_picture() {
        let example = |class: &str, mixed: Option<(&str, f64)>| Example {
            index: 7,
            class: class.to_owned(),
            mixed_with: mixed.map(|(class, _)| class.to_owned()),
            share: mixed.map(|(_, share)| share),
        };
        let images = TrainingImages {
            columns: 2,
            height: 28,
            width: 14,
            images: vec![
                example("cat", None),
                example("<b>\"dog\"</b>", None),
                example("cat", Some(("emu", 0.7))),
            ],
        };
        let mut page = Page::new("A page");
        write(&mut page, &images, b"foob");
        let html = page.finish();
        for wanted in [
            "<h2 id=\"training-images\">",
            "--columns:2;--rows:2;--shape:14/28;--picture:url(data:image/png;base64,Zm9vYg==)",
            "samples small",
            "aria-label=\"cat\" style=\"background-position:0.0000% 0.0000%\"",
            "background-position:100.0000% 0.0000%",
            "background-position:0.0000% 100.0000%",
            "<p>cat 70 %, emu 30 %</p>",
            "&lt;b&gt;",
        ] {
            assert!(html.contains(wanted), "{wanted} is missing from {html}");
        }
        assert!(!html.contains("<b>") && !html.contains("=\"<"));
        assert_eq!(html.matches("role=\"img\"").count(), 3);
    }
}
