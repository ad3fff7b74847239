//! Features of images: the outputs of a frozen network, computed once and drawn instead of pixels.

use crate::error::DataError;

/// Features of all images of a split, for one or several views of each image. A view is the image
/// with one random augmentation.
///
/// [`Loader::with_features`](super::Loader::with_features) makes batches of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Features {
    width: usize,
    images: usize,
    /// Values `[image, feature]` of each view.
    views: Vec<Vec<f32>>,
}

impl Features {
    /// Features of `images` images with `width` values each. Every view lists the values `[image,
    /// feature]` of all images.
    ///
    /// # Errors
    /// [`DataError::Setting`] if there is no view, or if a view does not have `images * width`
    /// values.
    pub fn new(images: usize, width: usize, views: Vec<Vec<f32>>) -> Result<Self, DataError> {
        let wrong = |value: String, expected: String| DataError::Setting {
            key: "features",
            value,
            expected,
        };
        if views.is_empty() || width == 0 {
            let value = format!("{} views of {width} values", views.len());
            return Err(wrong(value, "at least one view of one value".to_owned()));
        }
        match views.iter().find(|view| view.len() != images * width) {
            None => Ok(Features {
                width,
                images,
                views,
            }),
            Some(view) => Err(wrong(
                format!("{} values", view.len()),
                format!("{images} images of {width} values"),
            )),
        }
    }

    /// Values per image.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Number of images.
    pub fn images(&self) -> usize {
        self.images
    }

    /// Number of views of each image.
    pub fn views(&self) -> usize {
        self.views.len()
    }

    /// Values of an image in an epoch. The views of an image take turns, and those of a single epoch
    /// are mixed.
    pub(super) fn of(&self, index: u32, epoch: u64) -> &[f32] {
        let index = index as usize;
        let view = (epoch as usize).wrapping_add(index) % self.views.len();
        &self.views[view][index * self.width..(index + 1) * self.width]
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A failed unwrap is a failed test.
mod tests {
    use super::*;

    #[test]
    fn views_take_turns() {
        let view = |number: f32| vec![number, 10.0 + number, 20.0 + number];
        let features = Features::new(3, 1, vec![view(0.0), view(1.0)]).unwrap();
        let epoch = |epoch| [0, 1, 2].map(|index| features.of(index, epoch)[0]);
        assert_eq!(epoch(0), [0.0, 11.0, 20.0]);
        assert_eq!(epoch(1), [1.0, 10.0, 21.0]);
        assert_eq!(epoch(2), epoch(0));
    }

    #[test]
    fn every_view_has_all_values() {
        for (views, expected) in [
            (vec![], "at least one view"),
            (vec![vec![0.0; 6], vec![0.0; 5]], "3 images of 2 values"),
        ] {
            let error = Features::new(3, 2, views).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
