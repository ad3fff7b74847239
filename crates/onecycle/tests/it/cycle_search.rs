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
        losses in proptest::collection::vec(-1.0..5.0_f64, 20), start in -5.0..1.0_f64, most in 3_usize..9
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
        prop_assert!((3..=most).contains(&cycles));
        let mut peaks: Vec<f64> = tried.iter().map(|one| one.lr_max).collect();
        peaks.sort_by(f64::total_cmp);
        prop_assert!(peaks.windows(2).all(|pair| (pair[1] / pair[0] - 2.0).abs() < 1e-12));
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
