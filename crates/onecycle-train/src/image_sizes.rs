//! Progressive resizing: the height and width of the training images over a run.

use onecycle::{AtEnd, BatchSizes, Curve, Plan, Policy};
use onecycle_vision::{ImageShape, ImageSize, models::Architecture};

use crate::{Config, ConfigError};

/// The shorter side of the training images over a run, resolved for its steps.
///
/// Like a [`Plan`], it is a pure function of the step, so a resumed run needs no other state. The
/// longer side keeps the ratio of the full images.
///
/// Source: Howard, "Training ImageNet in 3 hours for $25" (2018), the DAWNBench entry of fast.ai:
/// small images at first, full images at the end.
#[derive(Debug, Clone)]
pub struct ImageSizes {
    /// Its "learning rate" is the shorter side in pixels.
    sides: Plan,
    full: ImageShape,
}

impl ImageSizes {
    /// The sizes that a configuration sets for a run with this plan; `None` if all images are full.
    ///
    /// # Errors
    /// [`ConfigError::Setting`] if the curve is malformed or does not fit the length of the run, if
    /// a side is larger than the images or smaller than the network accepts, or if the network needs
    /// images of one size.
    pub fn of(
        config: &Config,
        plan: &Plan,
        full: ImageShape,
        architecture: Architecture,
    ) -> Result<Option<Self>, ConfigError> {
        let Some(track) = &config.policy.image_size else {
            return Ok(None);
        };
        let refuse = |expected: String| ConfigError::setting(KEY, written(track), expected);
        if !architecture.takes_any_size() {
            return Err(refuse(format!(
                "a network that takes images of any size instead of {architecture}: one of {}",
                any_size().join(", ")
            )));
        }
        let sides = resolve(track, plan, config.policy.batch_size.as_ref())?;
        let sizes = ImageSizes { sides, full };
        let (least, most) = (architecture.min_side(), full.height.min(full.width));
        let wrong = (0..plan.steps())
            .map(|step| side(&sizes.sides, step))
            .find(|side| !(least..=most).contains(side));
        match wrong {
            None => Ok(Some(sizes)),
            Some(_) => Err(refuse(format!(
                "sides from {least} to {most} pixels for images of {full} and {architecture}"
            ))),
        }
    }

    /// Height and width of the images of update `step`.
    pub fn at(&self, step: u64) -> ImageSize {
        let (side, short) = (
            side(&self.sides, step),
            self.full.height.min(self.full.width),
        );
        let scaled = |length: usize| {
            let exact = length as f64 * side as f64 / short as f64;
            (exact.round() as usize).clamp(1, length)
        };
        ImageSize {
            height: scaled(self.full.height),
            width: scaled(self.full.width),
        }
    }

    /// The shorter side of the images at every step of a plan, in pixels, without the data; `None`
    /// if all images are full.
    ///
    /// # Errors
    /// [`ConfigError::Setting`] if the curve is malformed or does not fit the length of the run.
    pub fn sides(config: &Config, plan: &Plan) -> Result<Option<Vec<usize>>, ConfigError> {
        let Some(track) = &config.policy.image_size else {
            return Ok(None);
        };
        let sides = resolve(track, plan, config.policy.batch_size.as_ref())?;
        let each = (0..plan.steps()).map(|step| side(&sides, step));
        Ok(Some(each.collect()))
    }
}

/// The shorter side at a step, in pixels.
fn side(sides: &Plan, step: u64) -> usize {
    sides.at(step).lr.round() as usize
}

const KEY: &str = "policy.image_size";

/// A plan whose "learning rate" is the side. Spans count like those of the policy.
fn resolve(
    track: &Curve,
    plan: &Plan,
    batch_sizes: Option<&BatchSizes>,
) -> Result<Plan, ConfigError> {
    let resolved = || {
        let mut policy = Policy::from_curve(track.clone())?.at_end(AtEnd::Hold);
        if let Some(batch_sizes) = batch_sizes {
            policy = policy.with_batch_size(batch_sizes.clone())?;
        }
        policy.resolve(plan.run())
    };
    resolved().map_err(|error: onecycle::PolicyError| {
        let expected = format!(
            "sides in pixels over the run, such as [[\"0%\", 16], [\"50%\", 24], [\"80%\", 32]] ({error})"
        );
        ConfigError::setting(KEY, written(track), expected)
    })
}

/// Names of the networks that take images of any size.
fn any_size() -> Vec<&'static str> {
    let takes = |name: &&str| {
        let parsed = name.parse::<Architecture>();
        parsed.is_ok_and(Architecture::takes_any_size)
    };
    Architecture::names().filter(takes).collect()
}

/// The curve as in a configuration file.
fn written(track: &Curve) -> String {
    toml::Value::try_from(track).map_or_else(|_| format!("{track:?}"), |value| value.to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use crate::{config::Layers, experiment};

    const FULL: ImageShape = ImageShape::new(3, 32, 48);

    fn sizes(track: &str, model: &str) -> Result<Option<ImageSizes>, ConfigError> {
        let mut layers = Layers::new().unwrap();
        for (key, value) in [
            ("steps", "100"),
            ("model", model),
            ("policy.image_size", track),
        ] {
            layers = layers.set(key, value).unwrap();
        }
        let config = layers.resolve().unwrap();
        let plan = experiment::plan(&config, Some(1280)).unwrap();
        ImageSizes::of(&config, &plan, FULL, model.parse().unwrap())
    }

    #[test]
    fn sides_change_at_their_points_and_keep_the_ratio() {
        let track = "[[\"0%\", 16], [\"40%\", 24], [\"80%\", 32]]";
        let sizes = sizes(track, "resnet8").unwrap().unwrap();
        let size = |height, width| ImageSize { height, width };
        for (step, expected) in [
            (0, size(16, 24)),
            (39, size(16, 24)),
            (40, size(24, 36)),
            (79, size(24, 36)),
            (80, size(32, 48)),
            (99, size(32, 48)),
        ] {
            assert_eq!(sizes.at(step), expected, "step {step}");
        }
    }

    /// Ten steps per epoch: 1280 images in batches of 128.
    #[test]
    fn epochs_and_ramps_are_those_of_the_policy() {
        let sizes = sizes(
            "{ curve = \"sequence\", parts = [[\"5ep\", { curve = \"ramp\", from = 16, to = 32 }], \
             [\"5ep\", 32]] }",
            "convnet",
        );
        let sizes = sizes.unwrap().unwrap();
        let sides = [0, 25, 49, 50, 99].map(|step| sizes.at(step).height);
        assert_eq!(sides, [16, 24, 32, 32, 32]);
        let config = Config::default();
        let plan = experiment::plan(&config, Some(1280)).unwrap();
        let none = ImageSizes::of(&config, &plan, FULL, Architecture::Mlp);
        assert!(none.unwrap().is_none());
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_remedy() {
        let cases = [
            (
                "16",
                "lenet5",
                "one of convnet, convnet-plain, resnet-small, resnet8",
            ),
            ("16", "mlp", "instead of mlp"),
            ("33", "resnet8", "sides from 4 to 32 pixels"),
            ("[[\"0%\", 16], [\"50%\", 2]]", "resnet8", "2.0]]"),
            ("7", "resnet9", "sides from 8 to 32 pixels"),
            ("-8", "resnet8", "sides in pixels over the run"),
            ("[[\"1ep\", 16], [\"2ep\", 32]]", "resnet8", "1ep"),
        ];
        for (track, model, part) in cases {
            let message = sizes(track, model).unwrap_err().to_string();
            assert!(message.starts_with("policy.image_size = "), "{message}");
            assert!(message.contains(part), "{message}");
            assert_eq!(message.lines().count(), 1);
        }
    }
}
