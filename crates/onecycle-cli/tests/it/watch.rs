//! `onecycle watch`: what the server answers, to whom, and how it stops a run. The page itself is tested
//! in a browser (`pages::watch`).

use crate::common::Place;
use crate::trial::{self, assert_same, begin_or_go_on, kill, write_digits};
use crate::watching::{Watching, write_run, write_template};

use std::{fs, thread, time::Duration};

use serde_json::{Value, json};

#[test]
fn a_run_is_followed_from_its_first_step_to_its_end() {
    let place = Place::new();
    write_digits(&place);
    // The folder does not exist yet.
    let watching = Watching::start(&place, &[]);
    let run = begin_or_go_on(&place, "runs/a", "150").spawn().unwrap();
    let entry = watching.wait_for_run("a", |run| run["step"].as_u64() > Some(0));
    let id = entry["id"].as_str().unwrap();
    let mut events = watching.events(&format!("runs={id}&points=50"));
    let first = events.wait_for("list", |_| true);
    assert_eq!(first["first"], true);
    let plan = events.wait_for("plan", |_| true);
    assert_eq!(plan["steps"], 900);
    assert!(plan["phases"].as_array().unwrap().len() >= 3, "{plan}");
    let part = events.wait_for("steps", |steps| steps["updates"].as_u64() > Some(0));
    assert!(
        part["updates"].as_u64() < Some(900),
        "points appear before the end: {part}"
    );
    let last = events.wait_for("steps", |steps| steps["updates"] == 900);
    let points = last["points"]["loss"].as_array().unwrap().len();
    assert!((100..=152).contains(&points), "{points} of 900 points");
    let epochs = events.wait_for("epochs", |told| {
        told["epochs"].as_array().unwrap().len() == 150
    });
    assert_eq!(epochs["id"], id);
    let assessed = events.wait_for("assessment", |_| true);
    assert_eq!(assessed["is"]["classes"].as_array().unwrap().len(), 3);
    trial::finish(run, "the run");
    let end = watching.wait_for_run("a", |run| run["state"] == "finished");
    assert!(end["test_accuracy"].is_number(), "{end}");
    // A second stream sends everything at once.
    let mut events = watching.events(&format!("runs={id}&from=100&to=110"));
    let part = events.wait_for("steps", |_| true);
    let steps: Vec<u64> = part["points"]["step"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_u64)
        .collect();
    assert_eq!(steps, (99..=111).collect::<Vec<_>>());
}

#[test]
fn the_page_stops_a_run() {
    let place = Place::new();
    write_digits(&place);
    let watching = Watching::start(&place, &["."]);
    for out in ["whole", "stopped"] {
        let run = begin_or_go_on(&place, out, "100").spawn().unwrap();
        let entry = watching.wait_for_run(out, |run| run["state"] == "training");
        if out == "whole" {
            trial::finish(run, "the run");
            continue;
        }
        let answer = watching.stop(entry["id"].as_str().unwrap());
        assert_eq!(answer.code, 202, "{answer:?}");
        let output = run.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{}", trial::said(&output));
    }
    assert!(!place.path("stopped/stop").exists());
    let entry = watching.wait_for_run("stopped", |run| run["state"] == "stopped");
    let step = place.text("stopped/steps.jsonl").lines().count();
    // At a step with a regular checkpoint, that one is enough.
    let checkpoint =
        ["stop", "step"].map(|kind| format!("stopped/checkpoints/{kind}-{step:09}.ckpt"));
    assert!(
        checkpoint.iter().any(|name| place.path(name).exists()),
        "{checkpoint:?}"
    );
    assert!(step < 600, "the run ended before it was stopped");
    // Nobody trains it now.
    for (id, code) in [
        (entry["id"].as_str().unwrap(), 409),
        ("0123456789abcdef", 404),
        ("../whole", 404),
    ] {
        assert_eq!(watching.stop(id).code, code, "{id}");
    }
    assert!(!place.path("stopped/stop").exists());
    let run = begin_or_go_on(&place, "stopped", "100").spawn().unwrap();
    trial::finish(run, "the resumed run");
    assert_same(&place, "whole", "stopped");
}

#[test]
fn an_old_request_stops_nothing() {
    let place = Place::new();
    write_digits(&place);
    let mut run = begin_or_go_on(&place, "run", "60").spawn().unwrap();
    while !place.path("run/epochs.jsonl").exists() || place.text("run/epochs.jsonl").is_empty() {
        thread::sleep(Duration::from_millis(5));
    }
    kill(&mut run);
    place.write("run/stop", "");
    trial::finish(
        begin_or_go_on(&place, "run", "60").spawn().unwrap(),
        "the resumed run",
    );
    assert!(!place.path("run/stop").exists());
    assert!(place.path("run/summary.json").exists());
}

#[test]
fn strangers_are_refused() {
    let place = Place::new();
    fs::create_dir(place.path("runs")).unwrap();
    place.write("secret.txt", "secret");
    let watching = Watching::start(&place, &["runs"]);
    assert_eq!(
        watching.url,
        format!("{}/", watching.origin()),
        "no token on this machine"
    );
    let page = watching.get("/");
    assert_eq!(page.code, 200);
    for header in [
        "default-src 'none'",
        "script-src 'self'",
        "nosniff",
        "no-referrer",
    ] {
        assert!(page.head.contains(header), "{header}: {}", page.head);
    }
    let host = watching.host();
    let origin = format!("Origin: {}", watching.origin());
    for (headers, code) in [
        (vec![host.as_str()], 200),
        (vec![&host, &origin], 200),
        (vec!["Host: example.com"], 403),
        (vec![], 403),
        (vec![&host, "Origin: http://example.com"], 403),
        (vec![&host, "Origin: null"], 403),
    ] {
        let answer = watching.request("GET /state", &headers, "");
        assert_eq!(answer.code, code, "{headers:?}: {answer:?}");
    }
    for (headers, code) in [
        (vec![host.as_str()], 403),
        (
            vec![
                &host,
                "Origin: http://example.com",
                "Content-Type: application/json",
            ],
            403,
        ),
        (vec![&host, &origin, "Content-Type: text/plain"], 415),
        (vec![&host, &origin, "Content-Type: application/json"], 400),
    ] {
        let answer = watching.request("POST /stop", &headers, "{}");
        assert_eq!(answer.code, code, "{headers:?}: {answer:?}");
    }
    for path in [
        "/secret.txt",
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "//secret.txt",
        "/runs",
        "/..\\secret.txt",
        "/state/../../secret.txt",
        "/app.js/..",
    ] {
        let answer = watching.get(path);
        assert_eq!(answer.code, 404, "{path}: {answer:?}");
        assert!(!answer.body.contains("secret"), "{path}: {answer:?}");
    }
    for method in ["PUT", "DELETE", "POST", "OPTIONS"] {
        let answer = watching.request(&format!("{method} /"), &[&host], "");
        assert_eq!(answer.code, 405, "{method}");
    }
}

#[test]
fn other_machines_need_the_token() {
    let place = Place::new();
    fs::create_dir(place.path("runs")).unwrap();
    let watching = Watching::start(&place, &["--host", "0.0.0.0"]);
    let (_, token) = watching.url.split_once("?token=").unwrap();
    assert_eq!(token.len(), 48, "{}", watching.url);
    for path in [
        "/",
        "/state",
        "/app.js",
        "/events",
        "/?token=",
        "/?token=0",
        &format!("/?token={}0", &token[1..]),
    ] {
        let answer = watching.get(path);
        assert_eq!(answer.code, 403, "{path}: {answer:?}");
        assert!(!answer.body.contains(token));
    }
    assert_eq!(watching.stop("0123456789abcdef").code, 403);
    let entry = watching.get(&format!("/?token={token}"));
    assert_eq!(entry.code, 303);
    let cookie = entry
        .head
        .lines()
        .find_map(|line| line.strip_prefix("Set-Cookie: "))
        .unwrap();
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"),
        "{cookie}"
    );
    let cookie = format!("Cookie: {}", cookie.split(';').next().unwrap());
    let host = watching.host();
    assert_eq!(watching.request("GET /", &[&host, &cookie], "").code, 200);
    assert_eq!(
        watching
            .request("GET /state", &["Host: example.com", &cookie], "")
            .code,
        403
    );
}

#[cfg(unix)]
#[test]
fn links_and_pipes_lead_nowhere() {
    let place = Place::new();
    write_template(&place);
    write_run(&place, "runs/a", 2, 0.5);
    write_run(&place, "outside", 3, 0.5);
    let link =
        |to: &str, at: &str| std::os::unix::fs::symlink(place.path(to), place.path(at)).unwrap();
    link("outside", "runs/link");
    link("template/steps.jsonl", "runs/a/steps.jsonl");
    link("template/assessment", "runs/a/assessment");
    let pipe = std::process::Command::new("mkfifo")
        .arg(place.path("runs/a/diagnose.jsonl"))
        .status();
    assert!(pipe.unwrap().success());
    let watching = Watching::start(&place, &["runs"]);
    let run = watching.wait_for_run("a", |_| true);
    let state: Value = serde_json::from_str(&watching.get("/state").body).unwrap();
    assert_eq!(state["runs"].as_array().unwrap().len(), 1, "{state}");
    let mut events = watching.events(&format!("runs={}", run["id"].as_str().unwrap()));
    let steps = events.wait_for("steps", |_| true);
    assert_eq!(steps["updates"], 0, "{steps}");
    let problem = watching.wait_for_run("a", |run| !run["problems"].as_array().unwrap().is_empty());
    assert!(
        problem["problems"].to_string().contains("steps.jsonl"),
        "{problem}"
    );
}

#[test]
fn a_study_fills_up() {
    let place = Place::new();
    write_template(&place);
    fs::create_dir(place.path("study")).unwrap();
    let watching = Watching::start(&place, &["study"]);
    let mut events = watching.events("runs=");
    for (seed, accuracy) in [(1, 0.5), (2, 0.7)] {
        for label in ["a", "b"] {
            let added = if label == "a" { 0.0 } else { 0.1 };
            write_run(
                &place,
                &format!("study/runs/{label}-seed{seed}"),
                seed,
                accuracy + added,
            );
        }
    }
    let study = |told: &Value| told["studies"].as_array().unwrap().first().cloned();
    let told = events.wait_for("list", |told| {
        study(told).is_some_and(|study| study["finished"] == 4)
    });
    let rows = study(&told).unwrap()["rows"].clone();
    let labels: Vec<&Value> = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|row| &row["label"])
        .collect();
    assert_eq!(labels, [&json!("a"), &json!("b")]);
    let close = |value: &Value, expected: f64| (value.as_f64().unwrap() - expected).abs() < 1e-9;
    assert!(close(&rows[0]["final_accuracy"]["mean"], 0.6), "{rows}");
    assert!(close(&rows[1]["difference"]["mean"], 0.1), "{rows}");
    // Student's t for one degree of freedom, 12.706, times 0.1.
    assert!(
        (rows[0]["final_accuracy"]["half_width"].as_f64().unwrap() - 1.2706).abs() < 1e-3,
        "{rows}"
    );
}

#[test]
fn wrong_addresses_and_folders_are_named() {
    let place = Place::new();
    fs::create_dir(place.path("runs")).unwrap();
    place.write("file", "");
    let watching = Watching::start(&place, &[]);
    let port = watching.port.to_string();
    for (args, names) in [
        (
            vec!["watch", "--port", &port],
            vec![port.as_str(), "in use", "--port"],
        ),
        (vec!["watch", "missing"], vec!["missing", "no folder"]),
        (vec!["watch", "runs", "file"], vec!["file", "no folder"]),
        (
            vec!["watch", "--host", "192.0.2.1"],
            vec!["192.0.2.1", "--host"],
        ),
    ] {
        let answer = place.onecycle(&args);
        assert_eq!(answer.code, 1, "{args:?}: {}", answer.err);
        assert_eq!(answer.err.lines().count(), 1, "{}", answer.err);
        for name in names {
            assert!(answer.err.contains(name), "{name}: {}", answer.err);
        }
    }
}
