//! Checks the settings of the augmentation.

use super::{Augment, Border};
use crate::dataset::ImageShape;
use crate::error::DataError;

impl Augment {
    /// Checks the settings for images of this shape.
    ///
    /// # Errors
    /// [`DataError::Setting`] with the key and its range.
    pub fn validate(&self, shape: ImageShape) -> Result<(), DataError> {
        self.check_windows(shape)?;
        let [low, high] = self.erase_area;
        let probability = self.erase_probability;
        require(
            (0.0..=1.0).contains(&probability),
            "augment.erase_probability",
            probability,
            "0 to 1",
        )?;
        require(
            low > 0.0 && low <= high && high < 1.0,
            "augment.erase_area",
            pair(self.erase_area),
            "two shares, 0 < low <= high < 1",
        )?;
        check_aspect("augment.erase_aspect", self.erase_aspect)?;
        if let Some([low, high]) = self.resized_crop_area {
            require(
                low > 0.0 && low <= high && high <= 1.0,
                "augment.resized_crop_area",
                pair([low, high]),
                "two shares, 0 < low <= high <= 1, such as [0.35, 1.0]",
            )?;
        }
        check_aspect("augment.resized_crop_aspect", self.resized_crop_aspect)?;
        require(
            (0.0..=180.0).contains(&self.rotate),
            "augment.rotate",
            self.rotate,
            "0 to 180 degrees",
        )?;
        self.check_colours(shape)?;
        for (key, alpha) in [
            ("augment.mixup", self.mixup),
            ("augment.cutmix", self.cutmix),
        ] {
            require(
                alpha.is_finite() && alpha >= 0.0,
                key,
                alpha,
                "a number above 0, the parameter of the beta distribution, or 0 to turn it off",
            )?;
        }
        Ok(())
    }

    fn check_windows(&self, shape: ImageShape) -> Result<(), DataError> {
        let side = shape.height.min(shape.width);
        let highest_pad = match self.border {
            Border::Zero => side,
            Border::Reflect => side.saturating_sub(1),
        };
        require(
            self.pad <= highest_pad,
            "augment.pad",
            self.pad,
            format!("0 to {highest_pad} for images of {shape} with this border"),
        )?;
        require(
            self.cutout <= side,
            "augment.cutout",
            self.cutout,
            format!("0 to {side} for images of {shape}"),
        )
    }

    fn check_colours(&self, shape: ImageShape) -> Result<(), DataError> {
        for (key, range) in [
            ("augment.brightness", self.brightness),
            ("augment.contrast", self.contrast),
            ("augment.saturation", self.saturation),
        ] {
            require(
                range.is_finite() && range >= 0.0,
                key,
                range,
                "a number of at least 0, such as 0.4 for factors from 0.6 to 1.4",
            )?;
        }
        require(
            (0.0..=0.5).contains(&self.hue),
            "augment.hue",
            self.hue,
            "0 to 0.5",
        )?;
        if shape.channels == 1 {
            for (key, range) in [
                ("augment.saturation", self.saturation),
                ("augment.hue", self.hue),
            ] {
                require(range == 0.0, key, range, "0, because the images are grey")?;
            }
        }
        let colours = !self.jitter().is_none() || self.trivial_augment;
        let key = match self.trivial_augment {
            true => "augment.trivial_augment",
            false => "augment",
        };
        require(
            !colours || [1, 3].contains(&shape.channels),
            key,
            "a change of colours",
            format!("images with 1 or 3 channels for it, not {}", shape.channels),
        )
    }
}

fn check_aspect(key: &'static str, aspect: [f64; 2]) -> Result<(), DataError> {
    let [low, high] = aspect;
    require(
        low > 0.0 && low <= high && high.is_finite(),
        key,
        pair(aspect),
        "two ratios, 0 < low <= high",
    )
}

fn pair([low, high]: [f64; 2]) -> String {
    format!("[{low}, {high}]")
}

fn require(
    valid: bool,
    key: &'static str,
    value: impl ToString,
    expected: impl Into<String>,
) -> Result<(), DataError> {
    match valid {
        true => Ok(()),
        false => Err(DataError::Setting {
            key,
            value: value.to_string(),
            expected: expected.into(),
        }),
    }
}
