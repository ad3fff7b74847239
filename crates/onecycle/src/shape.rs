use serde::{Deserialize, Serialize};

use crate::math;

/// Shape of a transition between two values, as a function of `t` from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// `from + (to - from) t`.
    Linear,
    /// `from + (to - from) (1 - cos(pi t)) / 2`: flat at both ends.
    Cosine,
    /// `from (to / from)^t`: the same factor at each step. Both ends must be above 0.
    Exponential,
    /// `to + (from - to) (1 - t)^power`; power above 0, 1 is linear, 2 ends flat.
    Polynomial(f64),
    /// `from + (to - from) sqrt(t)`: the "1-sqrt" cool-down, steep at first.
    Sqrt,
}

impl Shape {
    /// The fraction of the way covered at `t`, between 0 and 1. Exponential ramps have no such
    /// fraction that is independent of their ends; see [`Shape::between`].
    #[inline]
    fn share(self, t: f64) -> f64 {
        match self {
            Shape::Linear | Shape::Exponential => t,
            Shape::Cosine => math::half_wave(t),
            Shape::Polynomial(power) => 1.0 - math::pow(1.0 - t, power),
            Shape::Sqrt => math::sqrt(t),
        }
    }

    /// The value at `t` of a ramp between two values. It never lies outside them, and is exactly
    /// `from` at 0 and `to` at 1.
    #[inline]
    pub(crate) fn between(self, from: f64, to: f64, t: f64, share: f64) -> f64 {
        // At 0 every shape gives `from` exactly; at 1 some would round.
        if t >= 1.0 {
            return to;
        }
        let value = match self {
            Shape::Exponential => from * math::pow(to / from, t),
            _ => from + (to - from) * share,
        };
        // Rounding may carry the value one ulp beyond its ends. Two branches that are never taken
        // cost less than `f64::clamp`.
        let (low, high) = if from <= to { (from, to) } else { (to, from) };
        if value < low {
            low
        } else if value > high {
            high
        } else {
            value
        }
    }
}

/// Intermediate results of the previous track. The tracks of one plan mostly change phase together,
/// so momentum can reuse the learning rate's cosine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memo {
    /// Index of its piece.
    pub(crate) piece: usize,
    /// Its ramp, and the fraction of the way covered.
    start: u64,
    length: f64,
    shape: Shape,
    t: f64,
    share: f64,
}

impl Default for Memo {
    fn default() -> Self {
        Memo {
            piece: 0,
            start: 0,
            length: -1.0, // no ramp has this length
            shape: Shape::Linear,
            t: 0.0,
            share: 0.0,
        }
    }
}

/// A ramp over `length` steps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ramp {
    pub(crate) shape: Shape,
    pub(crate) from: f64,
    pub(crate) to: f64,
    /// Number of steps after which `to` is reached. With 0 the ramp stays at `from`.
    pub(crate) length: f64,
}

impl Ramp {
    /// The value `n` steps after `start`.
    // Inlined for each track, so that the memo stays in registers.
    #[inline(always)]
    pub(crate) fn value(&self, start: u64, n: u64, memo: &mut Memo) -> f64 {
        if memo.start != start || memo.length != self.length || memo.shape != self.shape {
            let t = if self.length > 0.0 {
                math::real(n) / self.length
            } else {
                0.0
            };
            *memo = Memo {
                piece: memo.piece,
                start,
                length: self.length,
                shape: self.shape,
                t,
                share: self.shape.share(t.min(1.0)),
            };
        }
        self.shape.between(self.from, self.to, memo.t, memo.share)
    }
}

#[cfg(test)]
mod tests {
    use super::{Memo, Ramp, Shape};

    fn ramp(shape: Shape, from: f64, to: f64) -> Ramp {
        Ramp {
            shape,
            from,
            to,
            length: 4.0,
        }
    }

    /// A ramp reuses the fraction of another one only if both have the same start, length and
    /// shape.
    #[test]
    fn the_memo_serves_only_what_runs_alongside() {
        let first = ramp(Shape::Linear, 0.0, 1.0);
        for (start, n, shape, value) in [
            (10, 1, Shape::Linear, 0.75),
            (8, 3, Shape::Linear, 0.25),
            (10, 1, Shape::Sqrt, 0.5),
        ] {
            let mut memo = Memo::default();
            assert_eq!(first.value(10, 1, &mut memo), 0.25);
            let other = ramp(shape, 1.0, 0.0);
            assert_eq!(other.value(start, n, &mut memo), value);
        }
    }

    #[test]
    fn every_shape_starts_and_ends_exactly() {
        let shapes = [
            Shape::Linear,
            Shape::Cosine,
            Shape::Exponential,
            Shape::Polynomial(2.7),
            Shape::Sqrt,
        ];
        for shape in shapes {
            let ramp = ramp(shape, 0.3, 0.1);
            let value = |n| ramp.value(0, n, &mut Memo::default());
            assert_eq!((value(0), value(4), value(5)), (0.3, 0.1, 0.1), "{shape:?}");
            assert!(value(1) < 0.3 && value(3) > 0.1, "{shape:?}");
        }
    }
}
