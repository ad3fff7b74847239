//! A resolved hyper-parameter: a flat table of pieces, each with its formula.

use alloc::{boxed::Box, format, string::String, sync::Arc, vec::Vec};
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    PolicyError, Shape, math,
    shape::{Memo, Ramp},
};

/// One phase of a hyper-parameter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Phase {
    /// Name: `up`, `down`, `annihilation`, ..., with the number of the cycle if there are several.
    pub name: String,
    /// First step.
    pub first_step: u64,
    /// Last step (inclusive).
    pub last_step: u64,
    /// Value at the first step.
    pub from: f64,
    /// End value. It is reached at the first step after the phase; in the last phase, at its last
    /// step.
    pub to: f64,
}

/// A formula of a cloned schedule.
pub(crate) trait Formula: fmt::Debug + Send + Sync {
    /// The value at step `n`, for any `n`.
    fn value(&self, n: u64) -> f64;

    /// The start of each phase. Empty for a single phase.
    fn marks(&self) -> Vec<Mark> {
        Vec::new()
    }
}

/// Start of a phase.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    pub(crate) name: &'static str,
    pub(crate) first: u64,
    pub(crate) from: f64,
    pub(crate) to: f64,
}

/// The formula of a piece, in steps since the piece's first step.
#[derive(Debug, Clone)]
pub(crate) enum Law {
    Constant(f64),
    Ramp(Ramp),
    /// `from * gamma^(n / every)`.
    Decay {
        from: f64,
        gamma: f64,
        every: f64,
    },
    Repeat(Box<Repeat>),
    Product(Box<[Table]>),
    /// Values that are computed from step to step.
    Series(Arc<[f64]>),
    Formula(Arc<dyn Formula>),
}

/// A cycle repeated with a constant period, shrinking towards `floor`.
#[derive(Debug, Clone)]
pub(crate) struct Repeat {
    pub(crate) cycle: Table,
    pub(crate) period: u64,
    /// Factor per cycle on the distance from the floor.
    pub(crate) decay: f64,
    /// The same factor per step.
    pub(crate) gamma: f64,
    pub(crate) floor: f64,
}

impl Repeat {
    fn value(&self, n: u64) -> f64 {
        let cycle = n / self.period;
        self.shrink(n, cycle, self.cycle.at(n - cycle * self.period))
    }

    fn shrink(&self, n: u64, cycle: u64, value: f64) -> f64 {
        if self.gamma == 1.0 && (self.decay == 1.0 || cycle == 0) {
            return value; // without rounding, so that peaks are exact
        }
        let factor = math::pow(self.decay, cycle as f64) * math::pow(self.gamma, n as f64);
        self.floor + (value - self.floor) * factor
    }
}

#[derive(Debug, Clone)]
struct Piece {
    first: u64,
    /// First step of the next piece.
    end: u64,
    name: &'static str,
    law: Law,
}

/// A function of the step: pieces in order, the first from step 0 on, the last without end. Never
/// empty.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    pieces: Vec<Piece>,
}

/// Number of pieces to walk before a binary search: enough for a cycle with annihilation, plus one.
const WALK: usize = 4;

impl Table {
    /// One formula for all steps.
    pub(crate) fn new(name: &'static str, law: Law) -> Self {
        Table {
            pieces: alloc::vec![Piece {
                first: 0,
                end: u64::MAX,
                name,
                law,
            }],
        }
    }

    pub(crate) fn constant(name: &'static str, value: f64) -> Self {
        Table::new(name, Law::Constant(value))
    }

    /// A ramp over the first `length` steps that then holds its end value.
    pub(crate) fn ramp(name: &'static str, shape: Shape, from: f64, to: f64, length: u64) -> Self {
        let length = length as f64;
        Table::new(
            name,
            Law::Ramp(Ramp {
                shape,
                from,
                to,
                length,
            }),
        )
    }

    /// Appends `next`, which starts with its own step 0 at step `first`.
    pub(crate) fn then(mut self, first: u64, next: Table) -> Self {
        self.pieces.retain(|piece| piece.first < first);
        if let Some(last) = self.pieces.last_mut() {
            last.end = first;
        }
        let next = next.pieces.into_iter().map(|piece| Piece {
            first: piece.first.saturating_add(first),
            end: piece.end.saturating_add(first),
            ..piece
        });
        self.pieces.extend(next);
        self
    }

    /// Multiplies every value by `factor`.
    pub(crate) fn scaled(self, factor: f64) -> Self {
        if factor == 1.0 {
            return self;
        }
        Table::new(
            "product",
            Law::Product(Box::new([self, Table::constant("scale", factor)])),
        )
    }

    /// The value at step `n`. Results for one track are reused for the next, see [`Memo`].
    // Inlined for each track so that the memo stays in registers: this is the hot path of a plan.
    #[inline(always)]
    pub(crate) fn value(&self, n: u64, memo: &mut Memo) -> f64 {
        let piece = self.piece(n, memo);
        let k = n - piece.first;
        match &piece.law {
            Law::Constant(value) => *value,
            Law::Ramp(ramp) => ramp.value(piece.first, k, memo),
            other => other.value(k),
        }
    }

    /// The piece of step `n`. Tries the index of the previous track's piece first, because tracks
    /// mostly change phase together, then the next few, then a binary search.
    #[inline(always)]
    fn piece(&self, n: u64, memo: &mut Memo) -> &Piece {
        let mut i = memo.piece;
        for _ in 0..WALK {
            match self.pieces.get(i) {
                Some(piece) if piece.first > n => break,
                Some(piece) if n < piece.end => {
                    memo.piece = i;
                    return piece;
                }
                Some(_) => i += 1,
                None => break,
            }
        }
        // A piece starts at step 0, so there is one before any `n`.
        memo.piece = self.pieces.partition_point(|piece| piece.first <= n).max(1) - 1;
        &self.pieces[memo.piece]
    }

    /// The value at step `n`, without reuse between tracks.
    pub(crate) fn at(&self, n: u64) -> f64 {
        self.value(n, &mut Memo::default())
    }

    /// Checks that no value up to step `last` overflows. Pieces lie between their ends, and
    /// products between the products of the ends, so checking the ends is enough.
    pub(crate) fn check_finite(&self, name: &'static str, last: u64) -> Result<(), PolicyError> {
        crate::check::finite(name, self.bound(last))
    }

    fn bound(&self, last: u64) -> f64 {
        let bounds = self.pieces.iter().map(|piece| match &piece.law {
            Law::Constant(value) => value.abs(),
            Law::Ramp(ramp) => ramp.from.abs().max(ramp.to.abs()),
            Law::Decay { from, .. } => *from,
            Law::Repeat(repeat) => repeat.cycle.bound(repeat.period).max(repeat.floor),
            Law::Product(factors) => factors.iter().map(|factor| factor.bound(last)).product(),
            // `f64::max` would drop a NaN.
            Law::Series(values) => values.iter().fold(0.0, |bound, value| {
                if value.is_finite() {
                    value.abs().max(bound)
                } else {
                    f64::INFINITY
                }
            }),
            Law::Formula(formula) => {
                let (first, last) = (formula.value(0), formula.value(last));
                if first.is_finite() && last.is_finite() {
                    first.abs().max(last.abs())
                } else {
                    f64::INFINITY
                }
            }
        });
        bounds.fold(0.0, f64::max)
    }

    /// The phases of the first `steps` steps. They cover them without gap or overlap.
    pub(crate) fn phases(&self, steps: u64) -> Vec<Phase> {
        let mut phases = Vec::new();
        for piece in &self.pieces {
            let end = piece.end.min(steps);
            if piece.first < end {
                let own = piece.law.phases(piece.name, end - piece.first);
                phases.extend(own.into_iter().map(|phase| Phase {
                    first_step: phase.first_step + piece.first,
                    last_step: phase.last_step + piece.first,
                    ..phase
                }));
            }
        }
        phases
    }
}

impl Law {
    fn value(&self, n: u64) -> f64 {
        match self {
            Law::Constant(value) => *value,
            Law::Ramp(ramp) => ramp.value(0, n, &mut Memo::default()),
            Law::Decay { from, gamma, every } => from * math::pow(*gamma, n as f64 / every),
            Law::Repeat(repeat) => repeat.value(n),
            Law::Product(factors) => factors.iter().map(|factor| factor.at(n)).product(),
            // Rounding carries some originals slightly below 0.
            Law::Series(values) => values
                .get(usize::try_from(n).unwrap_or(usize::MAX))
                .or(values.last())
                .map_or(0.0, |value| value.max(0.0)),
            Law::Formula(formula) => formula.value(n).max(0.0),
        }
    }

    fn phases(&self, name: &'static str, steps: u64) -> Vec<Phase> {
        let last = steps - 1;
        let single = |to: f64| {
            alloc::vec![Phase {
                name: name.into(),
                first_step: 0,
                last_step: last,
                from: self.value(0),
                to,
            }]
        };
        match self {
            Law::Ramp(ramp) if ramp.length > 0.0 => single(ramp.to),
            Law::Repeat(repeat) => repeat.phases(steps),
            Law::Product(factors) => product_phases(factors, self, steps),
            Law::Formula(formula) => {
                let marks = formula.marks();
                let ends = marks.iter().skip(1).map(|mark| mark.first).chain([steps]);
                let phases: Vec<Phase> = marks
                    .iter()
                    .zip(ends)
                    .filter(|(mark, end)| mark.first < (*end).min(steps))
                    .map(|(mark, end)| Phase {
                        name: mark.name.into(),
                        first_step: mark.first,
                        last_step: end.min(steps) - 1,
                        from: mark.from,
                        to: mark.to,
                    })
                    .collect();
                if phases.is_empty() {
                    single(self.value(last))
                } else {
                    phases
                }
            }
            _ => single(self.value(last)),
        }
    }
}

impl Repeat {
    fn phases(&self, steps: u64) -> Vec<Phase> {
        let one = self.cycle.phases(self.period);
        let cycles = steps.div_ceil(self.period);
        let mut phases = Vec::new();
        for cycle in 0..cycles {
            let start = cycle * self.period;
            for phase in &one {
                let first_step = start + phase.first_step;
                if first_step >= steps {
                    break;
                }
                // The factor at the phase's end belongs to its own cycle, even if the next cycle
                // starts there.
                let end = start + phase.last_step;
                phases.push(Phase {
                    name: format!("{} {}", phase.name, cycle + 1),
                    first_step,
                    last_step: end.min(steps - 1),
                    from: self.shrink(first_step, cycle, phase.from),
                    to: self.shrink(end, cycle, phase.to),
                });
            }
        }
        phases
    }
}

/// A product starts a phase wherever one of its factors does.
fn product_phases(factors: &[Table], law: &Law, steps: u64) -> Vec<Phase> {
    let mut starts: Vec<(u64, String)> = Vec::new();
    for factor in factors {
        for phase in factor.phases(steps) {
            starts.push((phase.first_step, phase.name));
        }
    }
    starts.sort_by_key(|(first, _)| *first);
    starts.dedup_by_key(|(first, _)| *first);
    let ends: Vec<u64> = starts
        .iter()
        .skip(1)
        .map(|(first, _)| *first)
        .chain([steps])
        .collect();
    starts
        .into_iter()
        .zip(ends)
        .map(|((first_step, name), end)| Phase {
            name,
            first_step,
            last_step: end - 1,
            from: law.value(first_step),
            to: law.value(end - 1),
        })
        .collect()
}
