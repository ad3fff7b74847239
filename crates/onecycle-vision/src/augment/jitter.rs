//! Colour jitter: random brightness, contrast, saturation and hue, in random order.

use super::colour;
use crate::dataset::ImageShape;
use crate::random::{Rng, between, shuffle};

/// How far the colours of an image may change; 0 turns a change off.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct JitterRanges {
    pub(super) brightness: f64,
    pub(super) contrast: f64,
    pub(super) saturation: f64,
    pub(super) hue: f64,
}

/// One change of colour, with its factor, or the turn of the hue.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Adjustment {
    /// Factor of all values.
    Brightness(f64),
    /// Factor of the distances from the mean grey of the image.
    Contrast(f64),
    /// Factor of the distances from the grey of each pixel.
    Saturation(f64),
    /// Turn of the colour circle, -0.5 to 0.5.
    Hue(f64),
}

/// The changes of colour of one image, in their order.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Jitter(pub [Option<Adjustment>; 4]);

impl JitterRanges {
    pub(super) fn is_none(self) -> bool {
        [self.brightness, self.contrast, self.saturation, self.hue] == [0.0; 4]
    }

    /// Draws factors and order as torchvision's `ColorJitter` does: the factor of a range `r` is
    /// uniform from `max(0, 1 - r)` to `1 + r`, the hue's turn from `-r` to `r`.
    pub(super) fn draw(self, rng: &mut impl Rng) -> Jitter {
        let mut factor =
            |range: f64| (range > 0.0).then(|| between(rng, (1.0 - range).max(0.0), 1.0 + range));
        let mut changes = [
            factor(self.brightness).map(Adjustment::Brightness),
            factor(self.contrast).map(Adjustment::Contrast),
            factor(self.saturation).map(Adjustment::Saturation),
            None,
        ];
        if self.hue > 0.0 {
            changes[3] = Some(Adjustment::Hue(between(rng, -self.hue, self.hue)));
        }
        shuffle(rng, &mut changes);
        Jitter(changes)
    }
}

impl Jitter {
    /// Changes an image `[channel, row, column]`.
    pub(super) fn apply(self, image: &mut [u8], shape: ImageShape) {
        for adjustment in self.0.into_iter().flatten() {
            match adjustment {
                Adjustment::Brightness(factor) => colour::brightness(image, factor),
                Adjustment::Contrast(factor) => colour::contrast(image, shape, factor),
                Adjustment::Saturation(factor) => colour::saturation(image, shape, factor),
                Adjustment::Hue(turns) => colour::hue(image, shape, turns),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::stream;
    use std::collections::BTreeMap;

    #[test]
    fn factors_are_uniform_and_every_order_is_as_likely() {
        let ranges = JitterRanges {
            brightness: 0.4,
            contrast: 2.0,
            saturation: 0.1,
            hue: 0.25,
        };
        let mut rng = stream(1, "test", 0);
        let mut orders = BTreeMap::new();
        let mut extremes = [[f64::INFINITY, f64::NEG_INFINITY]; 4];
        for _ in 0..24_000 {
            let mut order = Vec::new();
            for adjustment in ranges.draw(&mut rng).0.into_iter().flatten() {
                let (place, value) = match adjustment {
                    Adjustment::Brightness(x) => (0, x),
                    Adjustment::Contrast(x) => (1, x),
                    Adjustment::Saturation(x) => (2, x),
                    Adjustment::Hue(x) => (3, x),
                };
                order.push(place);
                let [low, high] = &mut extremes[place];
                (*low, *high) = (low.min(value), high.max(value));
            }
            *orders.entry(order).or_insert(0_u32) += 1;
        }
        // 1000 expected of each of the 24 orders: six standard deviations are 186.
        assert_eq!(orders.len(), 24);
        assert!(
            orders.values().all(|n| n.abs_diff(1000) < 186),
            "{orders:?}"
        );
        let limits = [[0.6, 1.4], [0.0, 3.0], [0.9, 1.1], [-0.25, 0.25]];
        for (found, limit) in extremes.iter().zip(limits) {
            let width = limit[1] - limit[0];
            assert!(found[0] >= limit[0] && found[0] < limit[0] + 0.001 * width);
            assert!(found[1] <= limit[1] && found[1] > limit[1] - 0.001 * width);
        }
    }

    #[test]
    fn ranges_of_zero_change_nothing() {
        let off = JitterRanges {
            brightness: 0.0,
            contrast: 0.0,
            saturation: 0.0,
            hue: 0.0,
        };
        assert!(off.is_none());
        assert_eq!(off.draw(&mut stream(1, "test", 1)), Jitter::default());
        let one = JitterRanges {
            brightness: 0.5,
            ..off
        };
        assert!(!one.is_none());
        let drawn = one.draw(&mut stream(1, "test", 1)).0;
        assert_eq!(drawn.into_iter().flatten().count(), 1);
    }
}
