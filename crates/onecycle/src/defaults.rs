//! Default values that several presets share.

use crate::Span;

pub(crate) fn one() -> f64 {
    1.0
}

pub(crate) fn tenth() -> f64 {
    0.1
}

pub(crate) fn one_step() -> Span {
    Span::Steps(1)
}

pub(crate) fn yes() -> bool {
    true
}

pub(crate) fn div_factor() -> f64 {
    25.0
}

pub(crate) fn final_div_factor() -> f64 {
    1e4
}

pub(crate) fn three_tenths() -> f64 {
    0.3
}

pub(crate) fn base_momentum() -> f64 {
    0.85
}

pub(crate) fn max_momentum() -> f64 {
    0.95
}
