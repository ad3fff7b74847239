use alloc::vec::Vec;
use core::f64::consts::PI;

use serde::{Deserialize, Serialize};

use crate::{
    PolicyError, check, math,
    resolve::Resolve,
    table::{Formula, Mark},
};

/// Pairs sorted by step. As in a Python dictionary, the later of two entries for the same step
/// applies.
pub(super) fn sorted(pairs: &[(u64, f64)]) -> Vec<(u64, f64)> {
    let mut sorted: Vec<(u64, f64)> = Vec::new();
    for (step, scale) in pairs {
        sorted.retain(|(other, _)| other != step);
        sorted.push((*step, *scale));
    }
    sorted.sort_by_key(|(step, _)| *step);
    sorted
}

fn check_pairs(init_value: f64, pairs: &[(u64, f64)]) -> Result<(), PolicyError> {
    check::rate("init_value", init_value)?;
    pairs
        .iter()
        .try_for_each(|(_, scale)| check::rate("boundaries_and_scales", *scale))
}

/// `piecewise_constant_schedule`: `init_value`, multiplied by each scale from its boundary on.
///
/// | argument | default | purpose | range |
/// |---|---|---|---|
/// | `init_value` | | first rate | at least 0 |
/// | `boundaries_and_scales` | none | pairs of step and factor, in any order | factors at least 0 |
///
/// Source: optax 0.2.8, `optax.piecewise_constant_schedule`.
///
/// ```
/// use onecycle::{Run, optax::PiecewiseConstant};
/// let piecewise = PiecewiseConstant {
///     init_value: 0.4,
///     boundaries_and_scales: vec![(2, 0.5), (4, 0.5)],
/// };
/// let plan = piecewise.policy()?.resolve(&Run::steps(6))?;
/// let lr: Vec<f64> = (0..6).map(|n| plan.at(n).lr).collect();
/// assert_eq!(format!("{lr:.3?}"), "[0.400, 0.400, 0.200, 0.200, 0.100, 0.100]");
/// # Ok::<(), onecycle::PolicyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PiecewiseConstant {
    /// Rate of the first step.
    pub init_value: f64,
    /// Steps, each with the factor that applies from there on.
    #[serde(default)]
    pub boundaries_and_scales: Vec<(u64, f64)>,
}

impl Resolve for PiecewiseConstant {
    fn check(&self) -> Result<(), PolicyError> {
        check_pairs(self.init_value, &self.boundaries_and_scales)
    }

    fn resolve(&self, _: &crate::clock::Extent<'_>) -> Result<crate::resolve::Tracks, PolicyError> {
        let mut value = self.init_value;
        let mut table = crate::table::Table::constant("constant", value);
        for (step, scale) in sorted(&self.boundaries_and_scales) {
            value *= scale;
            let part = crate::table::Table::constant("constant", value);
            table = if step == 0 {
                part
            } else {
                table.then(step, part)
            };
        }
        Ok(table.into())
    }
}

/// `interpolate_type` of [`PiecewiseInterpolate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InterpolateType {
    /// Straight lines.
    Linear,
    /// Half cosine waves.
    Cosine,
}

impl InterpolateType {
    fn value(self, start: f64, end: f64, t: f64) -> f64 {
        match self {
            InterpolateType::Linear => (end - start) * t + start,
            InterpolateType::Cosine => end + (start - end) / 2.0 * (math::cos(PI * t) + 1.0),
        }
    }
}

/// `piecewise_interpolate_schedule`: interpolates between values, each the one before times its
/// scale; then constant.
///
/// | argument | default | purpose | range |
/// |---|---|---|---|
/// | `interpolate_type` | | interpolation between the boundaries | linear, cosine |
/// | `init_value` | | first rate | at least 0 |
/// | `boundaries_and_scales` | none | pairs of step and factor, in any order | factors at least 0 |
///
/// With a boundary at step 0 the schedule starts at that boundary's value. Source: optax 0.2.8,
/// `optax.piecewise_interpolate_schedule`.
///
/// ```
/// use onecycle::{Run, optax::{InterpolateType, PiecewiseInterpolate}};
/// let piecewise = PiecewiseInterpolate {
///     interpolate_type: InterpolateType::Linear,
///     init_value: 0.1,
///     boundaries_and_scales: vec![(2, 4.0), (4, 0.5)],
/// };
/// let plan = piecewise.policy()?.resolve(&Run::steps(6))?;
/// let lr: Vec<f64> = (0..6).map(|n| plan.at(n).lr).collect();
/// assert_eq!(format!("{lr:.3?}"), "[0.100, 0.250, 0.400, 0.300, 0.200, 0.200]");
/// # Ok::<(), onecycle::PolicyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PiecewiseInterpolate {
    /// Interpolation between the boundaries.
    pub interpolate_type: InterpolateType,
    /// Rate of the first step.
    pub init_value: f64,
    /// Steps, each with the factor reached there.
    #[serde(default)]
    pub boundaries_and_scales: Vec<(u64, f64)>,
}

impl Resolve for PiecewiseInterpolate {
    fn check(&self) -> Result<(), PolicyError> {
        check_pairs(self.init_value, &self.boundaries_and_scales)
    }

    fn resolve(&self, _: &crate::clock::Extent<'_>) -> Result<crate::resolve::Tracks, PolicyError> {
        let points = Interpolation::new(
            self.interpolate_type,
            self.init_value,
            &self.boundaries_and_scales,
        );
        Ok(points.into_tracks("optax_piecewise_interpolate"))
    }

    fn length(&self) -> Option<u64> {
        self.boundaries_and_scales
            .iter()
            .map(|(step, _)| *step)
            .max()
    }
}

/// Values at points. The one-cycle schedules of optax use it too.
#[derive(Debug)]
pub(super) struct Interpolation {
    kind: InterpolateType,
    points: Vec<(u64, f64)>,
    names: &'static [&'static str],
}

impl Interpolation {
    pub(super) fn new(kind: InterpolateType, init: f64, scales: &[(u64, f64)]) -> Self {
        let mut points = alloc::vec![(0, init)];
        let mut value = init;
        for (step, scale) in sorted(scales) {
            value *= scale;
            points.push((step, value));
        }
        Interpolation {
            kind,
            points,
            names: &[],
        }
    }

    pub(super) fn named(self, names: &'static [&'static str]) -> Self {
        Interpolation { names, ..self }
    }

    pub(super) fn into_tracks(self, kind: &'static str) -> crate::resolve::Tracks {
        let law = crate::table::Law::Formula(alloc::sync::Arc::new(self));
        crate::table::Table::new(kind, law).into()
    }
}

impl Formula for Interpolation {
    fn value(&self, n: u64) -> f64 {
        let next = self.points.partition_point(|(step, _)| *step <= n).max(1);
        let (begin, start) = self.points[next - 1]; // there is always a point at 0
        match self.points.get(next) {
            None => start,
            Some((end, value)) => {
                let t = (n - begin) as f64 / (end - begin) as f64;
                self.kind.value(start, *value, t)
            }
        }
    }

    fn marks(&self) -> Vec<Mark> {
        let last = self.points.last().copied();
        let ends = self.points.iter().skip(1).copied();
        let mut marks: Vec<Mark> = self
            .points
            .iter()
            .zip(ends)
            .enumerate()
            .filter(|(_, ((begin, _), (end, _)))| begin < end)
            .map(|(i, ((begin, from), (_, to)))| Mark {
                name: self.names.get(i).copied().unwrap_or("interpolate"),
                first: *begin,
                from: *from,
                to,
            })
            .collect();
        marks.extend(last.map(|(first, value)| Mark {
            name: "end",
            first,
            from: value,
            to: value,
        }));
        marks
    }
}
