//! Runs that are stopped by signals and by the time limit; two processes that open the same run.

use crate::common;
use crate::trial;

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};

use common::Place;
use onecycle_train::checkpoint::Checkpoint;
use trial::{assert_same, begin_or_go_on, command, finish, kill, said, send, write_digits};

/// Enough epochs that the run has not finished when the test sees its first steps.
const EPOCHS: &str = "60";

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let since = Instant::now();
    while !done() {
        assert!(since.elapsed() < Duration::from_secs(300), "never {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

fn lines(run: &Path, name: &str) -> usize {
    let text = fs::read_to_string(run.join(name));
    text.unwrap_or_default().lines().count()
}

fn steps(run: &Path) -> usize {
    lines(run, "steps.jsonl")
}

/// Starts or resumes the run in `out` and waits until it has made a few steps.
fn under_way(place: &Place, out: &str) -> Child {
    let child = begin_or_go_on(place, out, EPOCHS).spawn().unwrap();
    let (run, made) = (place.path(out), steps(&place.path(out)));
    wait_until("under way", || steps(&run) > made + 4);
    child
}

#[test]
fn a_signal_stops_a_run_with_a_checkpoint() {
    let place = Place::new();
    write_digits(&place);
    finish(
        begin_or_go_on(&place, "whole", EPOCHS).spawn().unwrap(),
        "whole",
    );
    for (signal, code) in [("-INT", 130), ("-TERM", 143), ("-HUP", 129)] {
        let out = &signal[1..];
        let child = under_way(&place, out);
        send(signal, &child);
        let output = child.wait_with_output().unwrap();
        let err = said(&output);
        assert_eq!(output.status.code(), Some(code), "{err}");
        assert!(
            err.contains(&format!("SIG{out}: stopping after this step")),
            "{err}"
        );
        assert!(
            err.contains(&format!("continue with: onecycle train --resume {out}")),
            "{err}"
        );
        // No step is lost.
        let made = steps(&place.path(out));
        let checkpoints = place.path(out).join("checkpoints");
        let of_it = ["stop", "step"].map(|name| checkpoints.join(format!("{name}-{made:09}.ckpt")));
        assert!(of_it.iter().any(|path| path.exists()), "{of_it:?}");
        finish(begin_or_go_on(&place, out, EPOCHS).spawn().unwrap(), signal);
        assert_same(&place, "whole", out);
    }
}

/// Trains a network on 64 images for two epochs. The share `held_out` of the images is for the
/// evaluation of each epoch, and the final test uses 10 000 images. If nothing is held out, each
/// epoch is evaluated on those 10 000 images.
fn long_evaluation(place: &Place, model: &str, held_out: &str, size: &str, out: &str) -> Command {
    let (held_out, size) = (
        format!("data.validation={held_out}"),
        format!("eval_batch_size={size}"),
    );
    let args = [
        "train", "--model", model, "--limit", "64", "--epochs", "2", "--set", &held_out, "--set",
        &size, "--out", out,
    ];
    command(place, &args)
}

/// The run is stopped in the evaluation of the first epoch, or in the final test.
#[test]
fn an_evaluation_stops_after_a_batch_and_continues_there() {
    let place = Place::new();
    for (held_out, step, epochs) in [("0", 1, 0), ("0.5", 2, 2)] {
        let [whole, out] = ["whole", "run"].map(|name| format!("{name}-{held_out}"));
        let begin = |out: &str| {
            let mut command = long_evaluation(&place, "lenet5", held_out, "10", out);
            command.spawn().unwrap()
        };
        finish(begin(&whole), "whole");
        let run = place.path(&out);
        let child = begin(&out);
        wait_until("evaluated", || {
            (lines(&run, "steps.jsonl"), lines(&run, "epochs.jsonl")) == (step, epochs)
        });
        send("-INT", &child);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{}", said(&output));
        assert_eq!(lines(&run, "epochs.jsonl"), epochs);
        let stop = run.join(format!("checkpoints/stop-{step:09}.ckpt"));
        let images = Checkpoint::read(&stop).unwrap().progress.evaluated.images;
        assert!(
            (10..10_000).contains(&images) && images.is_multiple_of(10),
            "{images}"
        );
        let resumed = command(&place, &["resume", &out]).spawn().unwrap();
        finish(resumed, "the rest");
        assert_same(&place, &whole, &out);
    }
}

/// The first evaluation is a single batch that takes seconds. Only a second SIGINT interrupts it.
#[test]
fn only_a_second_interrupt_stops_at_once() {
    let place = Place::new();
    for (first, second, at_once) in [
        ("-INT", "-INT", true),
        ("-TERM", "-INT", true),
        ("-TERM", "-TERM", false),
    ] {
        let out = format!("run{first}{second}");
        let mut child = long_evaluation(&place, "resnet8", "0", "10000", &out)
            .spawn()
            .unwrap();
        let mut err = BufReader::new(child.stderr.take().unwrap());
        wait_until("trained", || steps(&place.path(&out)) == 1);
        send(first, &child);
        let mut line = String::new();
        err.read_line(&mut line).unwrap();
        assert!(line.contains("stopping after this step"), "{line}");
        send(second, &child);
        let code = child.wait().unwrap().code();
        let rest: Vec<String> = err.lines().map(Result::unwrap).collect();
        let epochs = fs::read_to_string(place.path(&out).join("epochs.jsonl")).unwrap();
        if at_once {
            assert_eq!((code, rest.len()), (Some(130), 0), "{rest:?}");
            assert_eq!(epochs, "");
        } else {
            assert_eq!(code, Some(143));
            assert!(
                rest[0].contains("stopped after step 1; continue with"),
                "{rest:?}"
            );
            assert_eq!(epochs.lines().count(), 1);
        }
    }
}

#[test]
fn the_time_limit_stops_a_run_by_itself() {
    let place = Place::new();
    write_digits(&place);
    finish(
        begin_or_go_on(&place, "whole", "2").spawn().unwrap(),
        "whole",
    );
    // The time limit is over before the first step: each process makes one step, or evaluates one
    // batch, and stops. The run has two epochs of six steps, and evaluations of two batches; the
    // last batch finishes the run.
    for made in [1, 2, 3, 4, 5, 6, 6, 6, 7, 8, 9, 10, 11, 12] {
        let output = begin_or_go_on(&place, "run", "2")
            .args(["--max-time", "0.001s"])
            .output()
            .unwrap();
        let err = said(&output);
        assert_eq!(output.status.code(), Some(124), "{err}");
        let stopped = format!(
            "time limit reached: stopped after step {made}; continue with: onecycle train --resume run"
        );
        assert!(err.contains(&stopped), "{err}");
    }
    let mut last = begin_or_go_on(&place, "run", "2");
    finish(
        last.args(["--max-time", "1h"]).spawn().unwrap(),
        "the last step",
    );
    assert_same(&place, "whole", "run");

    for wrong in ["10", "0s", "soon", "-1m"] {
        let answer = place.onecycle(&["train", &format!("--max-time={wrong}"), "--out", "none"]);
        assert_eq!(answer.code, 2, "{wrong}");
        assert!(
            answer.err.contains("such as 90s, 10m or 1.5h"),
            "{}",
            answer.err
        );
    }
    assert!(!place.path("none").exists());
}

#[test]
fn a_run_is_locked_until_its_process_is_dead() {
    let place = Place::new();
    write_digits(&place);
    let mut first = under_way(&place, "run");
    let second = place.onecycle(&["resume", "run"]);
    assert_eq!(second.code, 1);
    let told = format!("in use by process {}", first.id());
    assert!(second.err.contains(&told), "{}", second.err);
    assert!(
        first.try_wait().unwrap().is_none(),
        "the first process ended"
    );
    kill(&mut first);
    finish(
        begin_or_go_on(&place, "run", EPOCHS).spawn().unwrap(),
        "after the kill",
    );
}
