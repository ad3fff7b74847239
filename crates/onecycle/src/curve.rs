//! Curves: one hyper-parameter over a run.

use alloc::{boxed::Box, vec::Vec};

use crate::{
    PolicyError, Shape, Span,
    batch::check_points,
    check,
    clock::Extent,
    table::{Law, Repeat, Table},
};

/// One hyper-parameter (learning rate, momentum or weight decay) over a run or a part of it.
///
/// A curve starts at the first step of its part. It reaches its end value at the first step of the
/// next part, or at the last step of the run.
///
/// In a configuration file this is a number (constant), a list of points and values (piecewise
/// constant: `[["0ep", 1e-4], ["10ep", 5e-4]]`), or a table with its kind:
///
/// | `curve` | keys |
/// |---|---|
/// | `"ramp"` | `from`, `to`, `shape` (`"linear"` (default), `"cosine"`, `"exponential"`, `{ polynomial = 2.0 }`, `"sqrt"`) |
/// | `"sequence"` | `parts`: a list of `[length, curve]` |
/// | `"repeat"` | `of`, `period`, `decay` (default 1), `floor` (default 0) |
/// | `"product"` | `of`: a list of curves |
///
/// ```
/// use onecycle::{Curve, Policy, Run, Span};
/// let lr = Curve::sequence([
///     (Span::Epochs(1.0), Curve::linear(0.0, 0.4)),
///     (Span::Epochs(3.0), Curve::cosine(0.4, 0.0)),
/// ]);
/// let policy = Policy::from_curve(lr)?.with_weight_decay(5e-4)?;
/// let plan = policy.resolve(&Run::steps(40).with_steps_per_epoch(10))?;
/// assert_eq!(plan.at(5).lr, 0.2);
/// assert_eq!(plan.at(10).lr, 0.4);
/// assert_eq!(plan.at(39).lr, 0.0);
/// # Ok::<(), onecycle::PolicyError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub enum Curve {
    /// The same value in every step.
    Constant(f64),
    /// Each value applies from its point on. Points count from the curve's first step; the first is
    /// 0, and they increase.
    Piecewise(Vec<(Span, f64)>),
    /// A transition from one value to another.
    Ramp {
        /// Shape of the transition.
        shape: Shape,
        /// Value at the first step.
        from: f64,
        /// Value reached at the end.
        to: f64,
    },
    /// Curves one after the other, each for its length. After the last one its final value is held.
    Sequence(Vec<(Span, Curve)>),
    /// Cycles that shrink towards a floor: `floor + (value - floor) decay^cycle`.
    Repeat {
        /// The curve of one cycle.
        of: Box<Curve>,
        /// Length of one cycle.
        period: Span,
        /// Factor per cycle, above 0 and at most 1. With 1 all cycles are equal.
        decay: f64,
        /// The value towards which the cycles shrink.
        floor: f64,
    },
    /// The product of several curves. Each factor must be in the range of the hyper-parameter.
    Product(Vec<Curve>),
}

impl Curve {
    /// A straight line.
    pub fn linear(from: f64, to: f64) -> Self {
        Curve::ramp(Shape::Linear, from, to)
    }

    /// Half a cosine wave.
    pub fn cosine(from: f64, to: f64) -> Self {
        Curve::ramp(Shape::Cosine, from, to)
    }

    /// The same factor at every step. Both values must be above 0.
    pub fn exponential(from: f64, to: f64) -> Self {
        Curve::ramp(Shape::Exponential, from, to)
    }

    /// `to + (from - to) (1 - t)^power`, `power` above 0.
    pub fn polynomial(from: f64, to: f64, power: f64) -> Self {
        Curve::ramp(Shape::Polynomial(power), from, to)
    }

    /// A ramp of any shape.
    pub fn ramp(shape: Shape, from: f64, to: f64) -> Self {
        Curve::Ramp { shape, from, to }
    }

    /// Curves one after the other, each with its length.
    pub fn sequence(parts: impl IntoIterator<Item = (Span, Curve)>) -> Self {
        Curve::Sequence(parts.into_iter().collect())
    }

    /// Repeats this curve without decay.
    pub fn repeat(self, period: Span) -> Self {
        Curve::Repeat {
            of: Box::new(self),
            period,
            decay: 1.0,
            floor: 0.0,
        }
    }

    /// The product of curves.
    pub fn product(factors: impl IntoIterator<Item = Curve>) -> Self {
        Curve::Product(factors.into_iter().collect())
    }

    /// Checks every value with `value`, and the structure of the curve.
    pub(crate) fn check(
        &self,
        name: &'static str,
        value: fn(&'static str, f64) -> Result<(), PolicyError>,
    ) -> Result<(), PolicyError> {
        match self {
            Curve::Constant(x) => value(name, *x),
            Curve::Piecewise(points) => {
                check_points(name, points)?;
                points.iter().try_for_each(|(_, x)| value(name, *x))
            }
            Curve::Ramp { shape, from, to } => {
                value(name, *from)?;
                value(name, *to)?;
                match shape {
                    Shape::Exponential => {
                        check::positive(name, *from)?;
                        check::positive(name, *to)
                    }
                    Shape::Polynomial(power) => check::positive("power", *power),
                    _ => Ok(()),
                }
            }
            Curve::Sequence(parts) => {
                check_not_empty("parts", parts.len())?;
                for (span, curve) in parts {
                    check::phase("part", "parts", *span)?;
                    curve.check(name, value)?;
                }
                let spans: Vec<Span> = parts.iter().map(|(span, _)| *span).collect();
                check::fractions("parts", &spans)
            }
            Curve::Repeat {
                of,
                period,
                decay,
                floor,
            } => {
                check::phase("cycle", "period", *period)?;
                check::decay("decay", *decay)?;
                value("floor", *floor)?;
                of.check(name, value)
            }
            Curve::Product(factors) => {
                check_not_empty("of", factors.len())?;
                factors
                    .iter()
                    .try_for_each(|factor| factor.check(name, value))
            }
        }
    }

    pub(crate) fn resolve(&self, extent: &Extent<'_>) -> Result<Table, PolicyError> {
        match self {
            Curve::Constant(value) => Ok(Table::constant("constant", *value)),
            Curve::Piecewise(points) => piecewise(points, extent),
            Curve::Ramp { shape, from, to } => {
                let name = match shape {
                    Shape::Linear => "linear",
                    Shape::Cosine => "cosine",
                    Shape::Exponential => "exponential",
                    Shape::Polynomial(_) => "polynomial",
                    Shape::Sqrt => "sqrt",
                };
                Ok(Table::ramp(name, *shape, *from, *to, extent.reach))
            }
            Curve::Sequence(parts) => {
                let mut table: Option<Table> = None;
                let mut first = 0;
                for (span, curve) in parts {
                    let steps = extent.whole_steps("parts", first, *span)?;
                    if steps == 0 {
                        continue; // rounded away in a short run
                    }
                    let part = curve.resolve(&extent.rest(first).part(steps))?;
                    table = Some(match table {
                        None => part,
                        Some(table) => table.then(first, part),
                    });
                    first += steps;
                }
                match (table, parts.last()) {
                    (Some(table), _) if first < extent.steps => {
                        let value = table.at(first);
                        Ok(table.then(first, Table::constant("hold", value)))
                    }
                    (Some(table), _) => Ok(table),
                    // Every part rounded to 0 steps: the run has one or two steps, and the first
                    // curve gets them.
                    (None, _) => match parts.first() {
                        Some((_, curve)) => curve.resolve(extent),
                        None => Err(PolicyError::Count {
                            name: "parts",
                            found: 0,
                            expected: 1,
                        }),
                    },
                }
            }
            Curve::Repeat {
                of,
                period,
                decay,
                floor,
            } => {
                let period = extent.period("cycle", "period", *period)?;
                let cycle = of.resolve(&extent.cycle(period))?;
                Ok(Table::new(
                    "cycle",
                    Law::Repeat(Box::new(Repeat {
                        cycle,
                        period,
                        decay: *decay,
                        gamma: 1.0,
                        floor: *floor,
                    })),
                ))
            }
            Curve::Product(factors) => {
                let tables: Result<Vec<Table>, _> = factors
                    .iter()
                    .map(|factor| factor.resolve(extent))
                    .collect();
                Ok(Table::new("product", Law::Product(tables?.into())))
            }
        }
    }
}

impl From<f64> for Curve {
    /// A constant curve.
    fn from(value: f64) -> Self {
        Curve::Constant(value)
    }
}

fn check_not_empty(name: &'static str, found: usize) -> Result<(), PolicyError> {
    check::count(name, found.min(1), 1)
}

/// Values that apply from their points on. Points beyond the end are ignored. If two points round
/// to the same step, the later one applies.
pub(crate) fn piecewise(points: &[(Span, f64)], extent: &Extent<'_>) -> Result<Table, PolicyError> {
    let mut table: Option<Table> = None;
    for (at, value) in points {
        let first = extent.point("points", *at)?;
        let part = Table::constant("constant", *value);
        table = Some(match table {
            Some(table) if first > 0 => table.then(first, part),
            _ => part,
        });
    }
    table.ok_or(PolicyError::Count {
        name: "points",
        found: 0,
        expected: 1,
    })
}

mod form {
    use super::Curve;
    use crate::{Shape, Span};
    use alloc::{boxed::Box, vec::Vec};
    use core::fmt;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    #[derive(Serialize, Deserialize)]
    #[serde(tag = "curve", rename_all = "snake_case", deny_unknown_fields)]
    enum Table {
        Ramp {
            from: f64,
            to: f64,
            #[serde(default = "linear")]
            shape: Shape,
        },
        Sequence {
            parts: Vec<(Span, Curve)>,
        },
        Repeat {
            of: Box<Curve>,
            period: Span,
            #[serde(default = "one")]
            decay: f64,
            #[serde(default)]
            floor: f64,
        },
        Product {
            of: Vec<Curve>,
        },
    }

    fn linear() -> Shape {
        Shape::Linear
    }

    fn one() -> f64 {
        1.0
    }

    impl From<Table> for Curve {
        fn from(table: Table) -> Self {
            match table {
                Table::Ramp { from, to, shape } => Curve::Ramp { from, to, shape },
                Table::Sequence { parts } => Curve::Sequence(parts),
                Table::Repeat {
                    of,
                    period,
                    decay,
                    floor,
                } => Curve::Repeat {
                    of,
                    period,
                    decay,
                    floor,
                },
                Table::Product { of } => Curve::Product(of),
            }
        }
    }

    impl Serialize for Curve {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let table = match self.clone() {
                Curve::Constant(value) => return serializer.serialize_f64(value),
                Curve::Piecewise(points) => return points.serialize(serializer),
                Curve::Ramp { from, to, shape } => Table::Ramp { from, to, shape },
                Curve::Sequence(parts) => Table::Sequence { parts },
                Curve::Repeat {
                    of,
                    period,
                    decay,
                    floor,
                } => Table::Repeat {
                    of,
                    period,
                    decay,
                    floor,
                },
                Curve::Product(of) => Table::Product { of },
            };
            table.serialize(serializer)
        }
    }

    impl<'de> Deserialize<'de> for Curve {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Visitor;

            impl<'de> de::Visitor<'de> for Visitor {
                type Value = Curve;

                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str(
                        "a number, a list of points and values ([[\"0ep\", 1e-4], [\"10ep\", 5e-4]]), or a table \
                         with `curve` = \"ramp\", \"sequence\", \"repeat\" or \"product\"",
                    )
                }

                fn visit_f64<E: de::Error>(self, value: f64) -> Result<Curve, E> {
                    Ok(Curve::Constant(value))
                }

                fn visit_u64<E: de::Error>(self, value: u64) -> Result<Curve, E> {
                    Ok(Curve::Constant(value as f64))
                }

                fn visit_i64<E: de::Error>(self, value: i64) -> Result<Curve, E> {
                    Ok(Curve::Constant(value as f64))
                }

                fn visit_seq<A: de::SeqAccess<'de>>(self, seq: A) -> Result<Curve, A::Error> {
                    Vec::deserialize(de::value::SeqAccessDeserializer::new(seq))
                        .map(Curve::Piecewise)
                }

                fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Curve, A::Error> {
                    Table::deserialize(de::value::MapAccessDeserializer::new(map)).map(Curve::from)
                }
            }

            deserializer.deserialize_any(Visitor)
        }
    }
}
