use alloc::{boxed::Box, vec::Vec};

use serde::{Deserialize, Serialize};

use super::Preset;
use crate::{
    PolicyError, Span, check,
    clock::Extent,
    resolve::{Resolve, Tracks},
    table::{Law, Table},
};

/// One part of a [`Sequence`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Length of the part. The last part may omit it and then takes the rest of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span: Option<Span>,
    /// Policy of the part, resolved as if the part were a run. Every part but the last reaches its
    /// end value at the first step of the next part.
    pub policy: Preset,
}

/// Policies one after the other.
///
/// ```text
/// lr(n) = p_i(n - b_i)      b_i <= n < b_(i+1)
/// ```
///
/// A part that sets no momentum keeps the previous value (or the first value that is set). Steps
/// after the last part keep its last value. Parts that round to no step in a short run are skipped.
///
/// | parameter | default | purpose | range |
/// |---|---|---|---|
/// | `parts` | | lengths and policies | at least one |
///
/// Source: `schedule_phases` of fastai, `SequentialLR` of PyTorch, `join_schedules` of optax. Here
/// the parts meet on whole steps.
///
/// ```
/// use onecycle::{Constant, Linear, Run, Sequence, Span};
/// let up = Linear { lr_final: 0.4, ..Linear::new(0.0) };
/// let sequence = Sequence::new([(Span::Steps(4), up.into())], Constant::new(0.4));
/// let plan = sequence.policy()?.resolve(&Run::steps(6))?;
/// let lr: Vec<f64> = (0..6).map(|n| plan.at(n).lr).collect();
/// assert_eq!(format!("{lr:.3?}"), "[0.000, 0.100, 0.200, 0.300, 0.400, 0.400]");
/// # Ok::<(), onecycle::PolicyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sequence {
    /// The parts in order.
    pub parts: Vec<Part>,
}

impl Sequence {
    /// Parts with given lengths, then `last` for the rest of the run.
    pub fn new(parts: impl IntoIterator<Item = (Span, Preset)>, last: impl Into<Preset>) -> Self {
        let parts = parts.into_iter().map(|(span, policy)| Part {
            span: Some(span),
            policy,
        });
        let last = Part {
            span: None,
            policy: last.into(),
        };
        Sequence {
            parts: parts.chain([last]).collect(),
        }
    }
}

impl Resolve for Sequence {
    fn check(&self) -> Result<(), PolicyError> {
        check::count("parts", self.parts.len().min(1), 1)?;
        let last = self.parts.len() - 1;
        for (i, part) in self.parts.iter().enumerate() {
            match part.span {
                Some(span) => check::phase("part", "span", span)?,
                None if i == last => {}
                None => {
                    return Err(PolicyError::Missing {
                        name: "span",
                        hint: "every part of a sequence but the last needs its length",
                    });
                }
            }
            part.policy.parameters().check()?;
        }
        let spans: Vec<Span> = self.parts.iter().filter_map(|part| part.span).collect();
        check::fractions("span", &spans)
    }

    fn resolve(&self, extent: &Extent<'_>) -> Result<Tracks, PolicyError> {
        let mut parts: Vec<(u64, Tracks)> = Vec::new();
        let mut first = 0;
        for part in &self.parts {
            let available = extent.steps - first;
            let steps = match part.span {
                // A fraction refers to the whole sequence, not to what is left of it.
                Some(Span::Fraction(share)) => extent
                    .whole_steps("span", 0, Span::Fraction(share))?
                    .min(available),
                Some(span) => extent.whole_steps("span", first, span)?,
                None => available,
            };
            if steps > 0 {
                let tracks = part.policy.resolve(&extent.rest(first).part(steps))?;
                parts.push((first, tracks));
                first += steps;
            }
        }
        if parts.is_empty() {
            // The run has one or two steps, and every fraction rounded to 0 steps.
            return match self.parts.first() {
                Some(part) => part.policy.resolve(extent),
                None => check::count("parts", 0, 1).map(|()| Table::constant("hold", 0.0).into()),
            };
        }
        let lr = parts
            .iter()
            .map(|(first, tracks)| (*first, Some(tracks.lr.clone())));
        let momentum = parts
            .iter()
            .map(|(first, tracks)| (*first, tracks.momentum.clone()));
        let hold = (first < extent.steps).then_some(first);
        let lr = join(lr.collect(), hold);
        Ok(Tracks {
            lr: lr.unwrap_or_else(|| Table::constant("hold", 0.0)),
            momentum: join(momentum.collect(), hold),
        })
    }
}

/// Joins tables, each with its first step. A missing table keeps the value before it. From step
/// `hold` on, the last value is kept.
fn join(parts: Vec<(u64, Option<Table>)>, hold: Option<u64>) -> Option<Table> {
    let start = parts.iter().find_map(|(_, table)| table.as_ref())?.at(0);
    let mut joined = Table::constant("hold", start);
    for (first, table) in parts {
        let next = match table {
            Some(table) => table,
            None => Table::constant("hold", joined.at(first)),
        };
        joined = joined.then(first, next);
    }
    if let Some(first) = hold {
        let value = joined.at(first);
        joined = joined.then(first, Table::constant("hold", value));
    }
    Some(joined)
}

/// The product of policies. Usually the first gives a learning rate and the others are factors
/// without a unit.
///
/// ```text
/// lr(n) = p_1(n) p_2(n) ...
/// ```
///
/// At most one of them may set momentum.
///
/// | parameter | default | purpose | range |
/// |---|---|---|---|
/// | `of` | | the policies | at least one |
///
/// Source: PyTorch's `ChainedScheduler`, with its updates replaced by a plain product.
///
/// ```
/// use onecycle::{Linear, Product, Run, Span, Step};
/// let halve = Step { gamma: 0.5, ..Step::new(1.0, Span::Steps(2)) };
/// let product = Product::new([Linear::new(0.4).into(), halve.into()]);
/// let plan = product.policy()?.resolve(&Run::steps(5))?;
/// let lr: Vec<f64> = (0..5).map(|n| plan.at(n).lr).collect();
/// assert_eq!(format!("{lr:.3?}"), "[0.400, 0.300, 0.100, 0.050, 0.000]");
/// # Ok::<(), onecycle::PolicyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Product {
    /// The factors.
    pub of: Vec<Preset>,
}

impl Product {
    /// The product of `of`.
    pub fn new(of: impl IntoIterator<Item = Preset>) -> Self {
        Product {
            of: of.into_iter().collect(),
        }
    }
}

impl Resolve for Product {
    fn check(&self) -> Result<(), PolicyError> {
        check::count("of", self.of.len().min(1), 1)?;
        self.of
            .iter()
            .try_for_each(|factor| factor.parameters().check())
    }

    fn resolve(&self, extent: &Extent<'_>) -> Result<Tracks, PolicyError> {
        let mut factors: Vec<Table> = Vec::new();
        let mut momentum = None;
        for factor in &self.of {
            let tracks = factor.resolve(extent)?;
            factors.push(tracks.lr);
            match (&momentum, tracks.momentum) {
                (Some(_), Some(_)) => {
                    return Err(PolicyError::Conflict {
                        first: "momentum of one factor",
                        second: "momentum of another",
                    });
                }
                (None, next) => momentum = next,
                _ => {}
            }
        }
        let lr = Table::new("product", Law::Product(Box::from(factors)));
        Ok(Tracks { lr, momentum })
    }
}
