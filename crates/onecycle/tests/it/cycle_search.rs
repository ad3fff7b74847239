//! Properties of the search by short cycles, for arbitrary losses.

use onecycle::{
    PolicyError,
    range_test::{CycleSearch, Verdict},
};
use proptest::prelude::*;

/// The loss of an untrained network with ten classes.
const UNTRAINED: f64 = std::f64::consts::LN_10;

/// Searches a valley with its lowest loss at `best`; cycles above `wall` diverge.
fn searched(start: f64, best: f64, wall: f64, most: usize) -> CycleSearch {
    let mut search = CycleSearch::new(start, UNTRAINED, most).unwrap();
    while let Some(lr_max) = search.next_lr_max() {
        let far = (lr_max / best).ln();
        search.record(if lr_max < wall {
            0.5 + 0.1 * far * far
        } else {
            f64::NAN
        });
    }
    search
}

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// Nothing learns at the range test's rate; then a valley with a failed try on its upper side.
#[test]
fn every_peak_has_a_reason() {
    let mut search = CycleSearch::new(0.8, UNTRAINED, 6).unwrap();
    let mut reasons = Vec::new();
    while let Some(lr_max) = search.next_lr_max() {
        reasons.push((lr_max, search.reason().to_string()));
        search.record(match lr_max {
            lr if lr > 0.3 => UNTRAINED,
            lr if lr > 0.15 => 0.9,
            _ => 1.2,
        });
    }
    let words = [
        (0.8, "suggested by the range test"),
        (0.2, "nothing has learned yet"),
        (0.1, "is less than 0.2 better?"),
        (0.4, "is more than 0.2 better?"),
        (0.4, "again, because the first try failed"),
    ];
    let expected = words.map(|(lr_max, reason)| (lr_max, reason.to_owned()));
    assert_eq!(reasons, expected);
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_minimum_is_found_from_either_side(
        best in -7.0..2.0_f64, away in -2.0..2.0_f64
    ) {
        let best = 10_f64.powf(best);
        let search = searched(best * 4_f64.powf(away), best, f64::INFINITY, 8);
        let answer = search.suggestion();
        prop_assert_eq!(answer.verdict, Verdict::Ok);
        let off = (answer.lr.unwrap() / best).ln().abs();
        prop_assert!(off < 1.5_f64.ln(), "{:?} for {best}", answer.lr);
    }

    #[test]
    fn no_suggestion_lies_where_cycles_diverge(
        wall in -4.0..1.0_f64, start in -2.0..2.0_f64, best in 0.1..30.0_f64
    ) {
        let wall = 10_f64.powf(wall);
        let search = searched(wall * 4_f64.powf(start), wall * best, wall, 6);
        let answer = search.suggestion();
        if let Some(lr) = answer.lr {
            prop_assert!(lr < wall, "{lr} above {wall}");
        } else {
            // No candidate below the wall was reached.
            prop_assert!(search.tried().iter().all(|one| one.loss.is_infinite()));
        }
    }

    #[test]
    fn no_cycle_is_wasted_or_exceeds_the_limit(
        losses in proptest::collection::vec(-1.0..5.0_f64, 60), start in -5.0..1.0_f64, most in 3_usize..9
    ) {
        let mut search = CycleSearch::new(10_f64.powf(start), UNTRAINED, most).unwrap();
        let mut losses = losses.into_iter();
        while let Some(lr_max) = search.next_lr_max() {
            let known = search.tried().iter().find(|one| one.lr_max == lr_max);
            prop_assert_eq!(known.map(|one| one.cycles), search.is_second().then_some(1));
            search.record(losses.next().unwrap());
        }
        let tried = search.tried();
        let cycles: usize = tried.iter().map(|one| one.cycles).sum();
        let learned = |loss: f64| UNTRAINED - loss > 0.02 * UNTRAINED;
        let before = tried.iter().take_while(|one| !learned(one.loss)).count();
        // A repetition may show that the first candidate learns after all.
        let repeated = tried.iter().filter(|one| one.cycles == 2).count();
        prop_assert!((3..=most + before + repeated).contains(&cycles));
        let mut peaks: Vec<f64> = tried.iter().map(|one| one.lr_max).collect();
        peaks.sort_by(f64::total_cmp);
        let is_step = |ratio: f64| (ratio - 2.0).abs() < 1e-12 || (ratio - 4.0).abs() < 1e-12;
        prop_assert!(peaks.windows(2).all(|pair| is_step(pair[1] / pair[0])));
        // After the end nothing is requested or recorded.
        search.record(0.0);
        prop_assert_eq!(search.tried().len(), peaks.len());
    }
}

#[test]
fn candidates_lie_on_one_grid_for_any_start() {
    for (start, first) in [
        (0.1, 0.1),
        (0.13, 0.1),
        (0.15, 0.2),
        (0.27, 0.2),
        (3.0, 3.2),
    ] {
        let search = CycleSearch::new(start, UNTRAINED, 6).unwrap();
        assert_eq!(search.next_lr_max(), Some(first), "{start}");
    }
}

#[test]
fn a_failed_cycle_is_repeated_once() {
    let losses = |lr_max: f64, second: bool| match lr_max {
        0.1 => 1.0,
        0.2 if second => 0.8,
        0.2 => UNTRAINED,
        0.4 => f64::NAN,
        _ => 1.3,
    };
    let mut search = CycleSearch::new(0.1, UNTRAINED, 8).unwrap();
    let mut asked = Vec::new();
    while let Some(lr_max) = search.next_lr_max() {
        asked.push((lr_max, search.is_second()));
        search.record(losses(lr_max, search.is_second()));
    }
    let wanted = [
        (0.1, false),
        (0.05, false),
        (0.2, false),
        (0.2, true),
        (0.4, false),
        (0.4, true),
    ];
    assert_eq!(asked, wanted);
    let lr = search.suggestion().lr.unwrap();
    assert!((0.15..0.2).contains(&lr), "{lr}");
}

/// A range test that never rises starts the search a thousand times too high.
#[test]
fn the_search_goes_down_until_something_learns() {
    let search = searched(10.0, 1e-3, 4e-3, 7);
    let lr = search.suggestion().lr.unwrap();
    assert!((0.5e-3..2e-3).contains(&lr), "{lr}");
    let mut dead = CycleSearch::new(10.0, UNTRAINED, 7).unwrap();
    while let Some(lr_max) = dead.next_lr_max() {
        dead.record(if lr_max < 0.01 { 1.0 } else { UNTRAINED });
    }
    assert!(dead.suggestion().lr.unwrap() < 0.01);
    assert!(dead.tried().len() < 16, "{}", dead.tried().len());
}

/// All held-out images are classified correctly at six rates, and the loss falls up to the last.
#[test]
fn losses_that_cannot_be_told_apart_give_the_middle() {
    let loss = |lr_max: f64| match lr_max {
        lr if lr > 0.45 => f64::NAN,
        lr if lr < 0.01 => 1.0,
        lr => 1e-3 / lr,
    };
    let found = |resolution: f64| {
        let search = CycleSearch::new(3.2, UNTRAINED, 12).unwrap();
        let mut search = search.with_resolution(resolution).unwrap();
        while let Some(lr_max) = search.next_lr_max() {
            search.record(loss(lr_max));
        }
        search.suggestion().lr.unwrap()
    };
    assert!(found(0.0) > 0.3, "{}", found(0.0));
    let middle = found(0.1);
    assert!((0.04..0.12).contains(&middle), "{middle}");
    let search = CycleSearch::new(3.2, UNTRAINED, 12).unwrap();
    assert!(search.with_resolution(f64::NAN).is_err());
}

/// Of the rates that work, from 0.0125 to 3.2, one fails by chance.
#[test]
fn a_single_failure_does_not_hide_lower_rates() {
    let loss = |lr_max: f64| match lr_max {
        lr if !(0.01..4.0).contains(&lr) => UNTRAINED,
        lr if (0.7..0.9).contains(&lr) => 1.5,
        _ => 0.0,
    };
    let found = |patience: usize| {
        let search = CycleSearch::new(3.2, UNTRAINED, 14).unwrap();
        let mut search = search
            .with_resolution(0.03)
            .unwrap()
            .with_patience(patience);
        while let Some(lr_max) = search.next_lr_max() {
            search.record(loss(lr_max));
        }
        search.suggestion().lr.unwrap()
    };
    assert!(found(1) > 1.5, "{}", found(1));
    assert!((0.1..0.3).contains(&found(2)), "{}", found(2));
}

#[test]
fn no_suggestion_without_learning() {
    let mut search = CycleSearch::new(0.1, UNTRAINED, 4).unwrap();
    assert_eq!(search.suggestion().verdict, Verdict::TooShort);
    while search.next_lr_max().is_some() {
        search.record(UNTRAINED - 0.001);
    }
    assert_eq!(search.suggestion().verdict, Verdict::NoDescent);
    assert_eq!(search.suggestion().lr, None);
}

#[test]
fn invalid_searches_are_rejected() {
    assert!(matches!(
        CycleSearch::new(0.0, UNTRAINED, 6),
        Err(PolicyError::OutOfRange { name: "start", .. })
    ));
    assert!(matches!(
        CycleSearch::new(0.1, f64::NAN, 6),
        Err(PolicyError::NotFinite {
            name: "untrained",
            ..
        })
    ));
    assert!(matches!(
        CycleSearch::new(0.1, UNTRAINED, 2),
        Err(PolicyError::OutOfRange { name: "most", .. })
    ));
}
