//! `find` and `fit` that are stopped or killed any number of times continue with the same command
//! and leave the same bytes.

use crate::common;
use crate::trial;

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use common::Place;
use trial::{Random, assert_same, command, finish, kill, left_by, said, write_digits};

/// Three range tests.
const FIND: [&str; 4] = ["find", "--seeds", "3", "--num-steps"];
/// Three range tests, some short cycles, and a training of twelve steps.
const FIT: [&str; 4] = ["fit", "--epochs", "2", "--num-steps"];

/// The command in the folder `out`, on a tiny data set.
#[rustfmt::skip]
fn with<'a>(first: [&'a str; 4], out: &'a str) -> Vec<&'a str> {
    let rest = [
        "60", "--lr-from", "1e-3", "--data", "digits", "--model", "mlp", "--batch-size", "8", "--threads", "1",
        "--set", "eval_batch_size=8", "--out", out,
    ];
    [&first[..], &rest].concat()
}

/// Number of finished tests and cycles in the journal, without its first line, the settings.
fn kept(place: &Place, out: &str) -> usize {
    let text = fs::read_to_string(place.path(out).join("range_test.jsonl"));
    text.unwrap_or_default()
        .matches('\n')
        .count()
        .saturating_sub(1)
}

/// Asserts that two commands left the same files, apart from times.
fn assert_same_tests(place: &Place, whole: &str, disturbed: &str) {
    let (a, b) = (left_by(&place.path(whole)), left_by(&place.path(disturbed)));
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
    for (name, bytes) in &a {
        assert!(*bytes == b[name], "{} differs", name.display());
    }
    assert!(a.len() >= 4, "only {} files were compared", a.len());
}

#[test]
fn finished_tests_are_not_repeated() {
    let place = Place::new();
    write_digits(&place);
    finish(
        command(&place, &with(FIND, "whole")).spawn().unwrap(),
        "whole",
    );
    assert!(!place.path("whole/range_test.jsonl").exists());

    // Killed while the second line is written, which leaves the settings and half a test; then
    // killed after a complete test.
    for (point, lines) in [
        ("kill:half:range_test.jsonl:2", 0),
        ("kill:written:range_test.jsonl:1", 1),
    ] {
        let mut killed = command(&place, &with(FIND, "found"));
        let output = killed.env("ONECYCLE_FAIL_POINT", point).output().unwrap();
        assert!(output.status.code().is_none(), "{point}: it was not killed");
        assert_eq!(kept(&place, "found"), lines, "{point}");
    }
    // Only the other two tests are run.
    let args = with(FIND, "found");
    let answer = place.onecycle(&args);
    assert_eq!(answer.code, 0, "{}", answer.err);
    assert!(
        answer
            .err
            .contains("1 range tests and 0 short cycles are already made"),
        "{}",
        answer.err
    );
    assert_eq!(
        answer.err.matches("range test ").count(),
        2,
        "{}",
        answer.err
    );
    assert!(!place.path("found/range_test.jsonl").exists());
    assert_same_tests(&place, "whole", "found");
}

#[test]
fn other_settings_are_refused() {
    let place = Place::new();
    write_digits(&place);
    let args = with(FIND, "found");
    let mut killed = command(&place, &args);
    killed.env("ONECYCLE_FAIL_POINT", "kill:written:range_test.jsonl:2");
    assert!(killed.output().unwrap().status.code().is_none());
    let before = place.read("found/range_test.jsonl");
    for (more, names) in [
        (
            ["--set", "optimizer.nesterov=true"],
            "optimizer.nesterov was",
        ),
        (["--warm-up", "3"], "warm_up was 0, is 3"),
        (["--weight-decays", "0.1"], "overlay was null"),
    ] {
        let answer = place.onecycle(&[&args[..], &more].concat());
        assert_eq!(answer.code, 1, "{more:?}");
        assert!(
            answer.err.contains("made with other settings"),
            "{}",
            answer.err
        );
        assert!(answer.err.contains(names), "{}", answer.err);
    }
    // Other data.
    let labels = place.path("digits/train-labels-idx1-ubyte");
    let mut bytes = fs::read(&labels).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&labels, bytes).unwrap();
    let answer = place.onecycle(&args);
    assert!(
        answer.code == 1 && answer.err.contains("SHA-256"),
        "{}",
        answer.err
    );
    assert_eq!(place.read("found/range_test.jsonl"), before);
}

#[test]
fn signals_and_the_time_limit_stop_tests() {
    let place = Place::new();
    write_digits(&place);
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let out = &signal[1..];
        let child = command(&place, &with(FIND, out)).spawn().unwrap();
        let since = Instant::now();
        while kept(&place, out) == 0 {
            assert!(
                since.elapsed() < Duration::from_secs(120),
                "no test was finished"
            );
            thread::sleep(Duration::from_millis(1));
        }
        trial::send(signal, &child);
        let output = child.wait_with_output().unwrap();
        let err = said(&output);
        assert_eq!(output.status.code(), Some(code), "{err}");
        assert!(
            err.contains("run the same command again to continue"),
            "{err}"
        );
        assert!(!place.path(out).join("range_test.json").exists());
    }
    let answer = place.onecycle(&[&with(FIND, "time")[..], &["--max-time", "0.001s"]].concat());
    assert_eq!(answer.code, 124, "{}", answer.err);
    assert!(
        answer.err.contains("time limit reached: stopped"),
        "{}",
        answer.err
    );
    let answer = place.onecycle(&[&with(FIT, "fit")[..], &["--max-time", "0.001s"]].concat());
    assert_eq!(answer.code, 124, "{}", answer.err);
    assert!(!place.path("fit/run.toml").exists());
}

/// Kills in each phase, at given places and at random moments.
#[test]
fn fit_continues_in_every_phase() {
    let place = Place::new();
    write_digits(&place);
    let since = Instant::now();
    finish(
        command(&place, &with(FIT, "whole")).spawn().unwrap(),
        "whole",
    );
    let mut time = since.elapsed();
    for point in [
        "kill:half:range_test.jsonl:3",
        "kill:written:range_test.jsonl:1",
        "kill:half:range_test.jsonl:2",
        "kill:synced:range_test.json:1",
        "kill:renamed:run.toml:1",
        "kill:half:.ckpt:1",
        "kill:renamed:model.safetensors:1",
    ] {
        let mut killed = command(&place, &with(FIT, "places"));
        let output = killed.env("ONECYCLE_FAIL_POINT", point).output().unwrap();
        assert!(output.status.code().is_none(), "{point}: {}", said(&output));
    }
    finish(
        command(&place, &with(FIT, "places")).spawn().unwrap(),
        "places",
    );
    assert_same(&place, "whole", "places");

    let mut random = Random(0xf17);
    let mut kills = 0;
    for _ in 0..6 {
        let mut child = command(&place, &with(FIT, "moments")).spawn().unwrap();
        thread::sleep(time.mul_f64(random.below(1000) as f64 / 1500.0));
        if child.try_wait().unwrap().is_some() {
            // It finished before the kill, because the machine is less busy now: start again, and
            // kill earlier.
            fs::remove_dir_all(place.path("moments")).unwrap();
            time /= 2;
            continue;
        }
        kill(&mut child);
        kills += 1;
    }
    if !place.path("moments/summary.json").exists() {
        finish(
            command(&place, &with(FIT, "moments")).spawn().unwrap(),
            "moments",
        );
    }
    assert!(kills > 0);
    assert_same(&place, "whole", "moments");

    // A finished run is not overwritten.
    let answer = place.onecycle(&with(FIT, "moments"));
    assert!(
        answer.code == 1 && answer.err.contains("already contains a run"),
        "{}",
        answer.err
    );
}
