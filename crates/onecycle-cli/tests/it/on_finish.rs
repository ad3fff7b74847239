//! `--on-finish`: a command of the user at the end.

use serde_json::Value;

use crate::common::{Place, TINY, tiny_comparison};

/// Keeps the standard input and the environment.
const KEEP: &str =
    r#"cat > seen.json; echo "$ONECYCLE_OUTCOME $ONECYCLE_RUN" > seen.txt; echo said"#;

fn seen(place: &Place) -> (Value, String) {
    let json = serde_json::from_str(&place.text("seen.json")).unwrap();
    (json, place.text("seen.txt").trim().to_owned())
}

#[test]
fn a_finished_run_gives_its_summary() {
    let place = Place::new();
    let more = [
        "--steps",
        "3",
        "--out",
        "a",
        "--format",
        "json",
        "--on-finish",
        KEEP,
    ];
    let answer = place.onecycle(&[&TINY[..], &["--quiet"], &more].concat());
    assert_eq!(answer.code, 0, "{}", answer.err);
    let (summary, told) = seen(&place);
    let written: Value = serde_json::from_str(&place.text("a/summary.json")).unwrap();
    assert_eq!(summary, written);
    // What the command prints is not in the JSON document on standard output.
    assert_eq!(serde_json::from_str::<Value>(&answer.out).unwrap(), written);
    assert!(answer.err.contains("said"), "{}", answer.err);
    assert_eq!(told, format!("finished {}", place.path("a").display()));
}

#[test]
fn a_stopped_and_a_failed_run_give_the_reason() {
    let place = Place::new();
    let stopped = [
        "--epochs",
        "5000",
        "--out",
        "a",
        "--max-time",
        "0.8s",
        "--on-finish",
        KEEP,
    ];
    let answer = place.onecycle(&[&TINY[..], &["--quiet"], &stopped].concat());
    assert_eq!(answer.code, 124, "{}", answer.err);
    let (told, words) = seen(&place);
    assert_eq!(
        (&told["outcome"], &told["exit_code"]),
        (&"stopped".into(), &124.into())
    );
    assert!(
        told["reason"]
            .as_str()
            .unwrap()
            .contains("time limit reached"),
        "{told}"
    );
    assert!(words.starts_with("stopped "), "{words}");

    let failed = [
        "--steps",
        "200",
        "--lr-max",
        "1e30",
        "--out",
        "b",
        "--on-finish",
        KEEP,
    ];
    let answer = place.onecycle(&[&TINY[..], &["--quiet"], &failed].concat());
    assert_eq!(answer.code, 1, "{}", answer.err);
    let (told, words) = seen(&place);
    assert_eq!(told["outcome"], "failed");
    assert!(
        told["reason"].as_str().unwrap().contains("not finite"),
        "{told}"
    );
    assert_eq!(words, format!("failed {}", place.path("b").display()));
}

#[test]
fn a_failing_command_is_a_warning() {
    let place = Place::new();
    for (number, command) in ["exit 3", "exec 0<&-; true"].into_iter().enumerate() {
        let out = format!("run-{number}");
        let more = ["--steps", "2", "--out", &out, "--on-finish", command];
        let answer = place.onecycle(&[&TINY[..], &["--quiet"], &more].concat());
        assert_eq!(answer.code, 0, "{}", answer.err);
        let warned = answer
            .err
            .contains("warning: --on-finish exit 3: ended with exit status: 3");
        assert_eq!(warned, number == 0, "{}", answer.err);
    }
}

#[test]
fn a_comparison_gives_its_result() {
    let place = Place::new();
    let mut args = tiny_comparison(&place).to_vec();
    args.extend(["--on-finish", KEEP]);
    place.succeed(&args);
    let (result, told) = seen(&place);
    let written: Value = serde_json::from_str(&place.text("study/compare.json")).unwrap();
    assert_eq!(result, written);
    assert_eq!(told, format!("finished {}", place.path("study").display()));
}
