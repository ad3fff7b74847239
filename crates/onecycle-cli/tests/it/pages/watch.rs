//! The page of `onecycle watch` in a real browser.

use crate::{
    browser::Browser,
    common::Place,
    trial::{self, begin_or_go_on, kill, write_digits},
    watching::{Watching, write_long_steps, write_run, write_template},
};

use std::time::Instant;

use serde_json::{Value, json};

/// Names that would be script if they were markup.
const HOSTILE: &str = "<img src=x onerror=alert(1)>";

/// JavaScript: the uPlot of the chart with this title.
fn chart(title: &str) -> String {
    format!(
        "[...document.querySelectorAll('.chart')].find(one => one.querySelector('h3').textContent.startsWith({title:?})).chart.uplot"
    )
}

/// JavaScript: the number of points on the horizontal axis of a chart.
fn points(title: &str) -> String {
    format!("({}?.data[0].length ?? 0)", chart(title))
}

/// Asserts that no script failed, that every request went to the server, and that nothing is wider than
/// the window.
fn check(browser: &mut Browser, watching: &Watching, lost: bool) {
    let origin = format!("{}/", watching.origin());
    let told = browser.told(|url| url.starts_with(&origin));
    // While the server is away, the browser logs every attempt to reach it.
    let unexpected = |error: &&String| !(lost && error.contains("ERR_"));
    let errors: Vec<&String> = told.errors.iter().filter(unexpected).collect();
    assert!(errors.is_empty(), "{errors:?}");
    assert!(told.requests.is_empty(), "{:?}", told.requests);
    let over = browser.evaluate("document.documentElement.scrollWidth - window.innerWidth");
    assert!(over.as_i64().unwrap() <= 0, "{over} pixels too wide");
}

#[test]
#[ignore = "needs Chromium"]
fn points_appear_while_a_run_trains_and_after_it_was_killed() {
    let mut browser = Browser::start();
    let place = Place::new();
    write_digits(&place);
    let watching = Watching::start(&place, &["."]);
    browser.go(&watching.url, 1400);
    browser.wait_until("document.querySelector('#empty').checkVisibility()");
    let begin = || begin_or_go_on(&place, "run", "100").spawn().unwrap();
    let mut run = begin();
    // It is drawn without a click.
    browser.wait_until(&format!("{} > 20", points("Loss")));
    let before = browser.evaluate(&points("Loss")).as_u64().unwrap();
    browser.wait_until(&format!("{} > {before}", points("Loss")));
    browser.wait_until("document.querySelector('.run .state').textContent === 'training'");
    kill(&mut run);
    let lines = place.text("run/steps.jsonl").lines().count();
    assert!(lines < 600, "the run ended before it was killed");
    let run = begin();
    browser.wait_until("document.querySelector('.run .state').textContent === 'finished'");
    trial::finish(run, "the resumed run");
    browser.wait_until("document.querySelectorAll('#matrix tbody tr').length === 3");
    // The end is drawn, and no step twice.
    browser.wait_until(&format!(
        "{}.data[0].at(-1) === 600",
        chart("Learning rate")
    ));
    let xs = browser.evaluate(&format!("{}.data[0]", chart("Loss")));
    let xs: Vec<f64> = xs
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_f64)
        .collect();
    assert!(
        xs.is_sorted_by(|a, b| a < b) && xs.last() == Some(&600.0),
        "{xs:?}"
    );
    check(&mut browser, &watching, false);
}

#[test]
#[ignore = "needs Chromium"]
fn ten_long_runs_are_overlaid_and_zoomed_and_survive_a_restart_of_the_server() {
    let mut browser = Browser::start();
    let place = Place::new();
    write_template(&place);
    for seed in 1..=10 {
        let name = format!("runs/run-{seed}");
        write_run(&place, &name, seed, 0.5);
        match seed {
            1 => write_long_steps(&place, &name, 100_000),
            _ => {
                let first = place.text("runs/run-1/run.toml");
                place.write(
                    &format!("{name}/run.toml"),
                    first.replacen("seed = 1\n", &format!("seed = {seed}\n"), 1),
                );
                let (from, to) = (
                    place.path("runs/run-1/steps.jsonl"),
                    place.path(&format!("{name}/steps.jsonl")),
                );
                std::fs::hard_link(from, to).unwrap();
            }
        }
    }
    let watching = Watching::start(&place, &[]);
    browser.go(&watching.url, 1400);
    browser.wait_until("document.querySelectorAll('.item').length === 10");
    browser.evaluate(
        "document.querySelectorAll('.item input:not(:checked)').forEach(input => input.click())",
    );
    let legend =
        "[...document.querySelectorAll('.chart')][2].querySelectorAll('li:not([hidden])').length";
    // Charts are drawn when they come into view.
    let scroll = "document.querySelector('#charts').scrollIntoView()";
    browser.wait_until(&format!("({scroll}, {legend} >= 10)"));
    // Labelled by how they differ.
    browser.wait_until("[...document.querySelectorAll('.legend .text')].some(text => text.textContent.startsWith('seed 7'))");
    browser.wait_until(&format!("{}?.series.length >= 11", chart("Loss")));
    // The server has thinned a million points.
    let count = browser.evaluate(&points("Loss")).as_u64().unwrap();
    assert!((300..4000).contains(&count), "{count} points");
    // Drawing all charts again takes a fraction of a second.
    let since = Instant::now();
    let charts = browser.evaluate("(() => { const all = [...document.querySelectorAll('.chart')].map(one => one.chart).filter(chart => chart.uplot); for (const chart of all) chart.draw(); return all.length; })()");
    println!("{charts} charts of ten runs drawn in {:?}", since.elapsed());
    // Zoom by the mouse: the visible part comes in full detail.
    let box_of = format!(
        "(() => {{ const box = {}.over.getBoundingClientRect(); return [box.left, box.top, box.width, box.height]; }})()",
        chart("Loss")
    );
    browser.evaluate(&format!(
        "{}.root.scrollIntoView({{ block: 'center' }})",
        chart("Loss")
    ));
    let seen = browser.evaluate(&box_of);
    let [left, top, width, height] = [0, 1, 2, 3].map(|i| seen[i].as_f64().unwrap());
    let y = top + height / 2.0;
    for _ in 0..2 {
        // Around the spike, at 31.4 % of the whole; then around the middle.
        let middle = if browser.evaluate("location.hash.includes('from')") == true {
            0.5
        } else {
            0.31415
        };
        browser.drag(
            (left + (middle - 0.02) * width, y),
            (left + (middle + 0.02) * width, y),
        );
        browser.wait_until("location.hash.includes('from')");
        let narrow = format!(
            "{}.scales.x.max - {}.scales.x.min < 5000",
            chart("Loss"),
            chart("Loss")
        );
        browser.wait_until(&narrow);
    }
    let range = format!(
        "(() => {{ const u = {}; return [u.scales.x.min, u.scales.x.max, u.data[0].filter(x => x >= u.scales.x.min && x <= u.scales.x.max).length]; }})()",
        chart("Loss")
    );
    let (mut low, mut high) = (0.0, 0.0);
    let since = Instant::now();
    loop {
        let seen = browser.evaluate(&range);
        let [from, to, visible] = [0, 1, 2].map(|i| seen[i].as_f64().unwrap());
        (low, high) = (from.max(low), to.max(high));
        // All of about 160 steps.
        if visible >= (to - from).floor() && to - from < 400.0 {
            break;
        }
        assert!(since.elapsed().as_secs() < 60, "{seen}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    // The plot begins and ends some pixels beside the drag.
    let middle = (low + high) / 2.0;
    assert!((middle - 31_415.0).abs() < 1000.0, "{low} to {high}");
    // Keys, on the chart that has the focus.
    browser.evaluate(&format!("{}.root.closest('.plot').focus()", chart("Loss")));
    browser.press("0");
    browser.wait_until("!location.hash.includes('from')");
    browser.wait_until(&format!("{}.scales.x.max === 100000", chart("Loss")));
    check(&mut browser, &watching, false);
    // The server ends and comes back.
    let port = watching.port.to_string();
    watching.end();
    browser.wait_until("document.querySelector('#connection').textContent.includes('lost')");
    let watching = Watching::start(&place, &["--port", &port]);
    browser.wait_until("document.querySelector('#connection').textContent === 'live'");
    write_run(&place, "runs/late", 11, 0.5);
    browser.wait_until("document.querySelectorAll('.item').length === 11");
    assert_eq!(
        browser.evaluate("document.querySelectorAll('.run').length"),
        10
    );
    check(&mut browser, &watching, true);
}

/// The axis of a range test is logarithmic, and its first rate is rounded to single precision.
#[test]
#[ignore = "needs Chromium"]
fn a_range_test_is_drawn() {
    let mut browser = Browser::start();
    let place = Place::new();
    let small = [
        "find",
        "--model",
        "mlp",
        "--limit",
        "512",
        "--batch-size",
        "32",
    ];
    let sweep = ["--num-steps", "60", "--lr-from", "1e-4", "--out", "found"];
    place.succeed(&[&small[..], &sweep].concat());
    let watching = Watching::start(&place, &["."]);
    browser.go(&watching.url, 1400);
    browser.wait_until("document.querySelector('#search-chart .chart') !== null");
    // Charts are drawn when they come into view.
    let scroll = "document.querySelector('#search').scrollIntoView()";
    browser.wait_until(&format!("({scroll}, {} > 20)", points("Loss over")));
    let drawn = format!("{}.scales.x.min", chart("Loss over"));
    assert_eq!(browser.evaluate(&drawn), json!(1e-4));
    check(&mut browser, &watching, false);
}

#[test]
#[ignore = "needs Chromium"]
fn a_study_of_two_hundred_runs_fills_its_table() {
    let mut browser = Browser::start();
    let place = Place::new();
    write_template(&place);
    let write = |seeds: std::ops::RangeInclusive<u64>| {
        for seed in seeds {
            for label in 0..20 {
                let accuracy = 0.5 + 0.01 * label as f64 + 0.001 * seed as f64;
                write_run(
                    &place,
                    &format!("study/runs/variant-{label:02}-seed{seed}"),
                    seed,
                    accuracy,
                );
            }
        }
    };
    write(1..=1);
    let watching = Watching::start(&place, &["study"]);
    for width in [1400, 400] {
        browser.go(&watching.url, width);
        browser.wait_until("document.querySelectorAll('#study-table tbody tr').length === 20");
        check(&mut browser, &watching, false);
    }
    let cell = "document.querySelector('#study-table tbody tr').children[2].textContent";
    assert_eq!(browser.evaluate(cell), "50.10 %");
    write(2..=10);
    browser
        .wait_until("document.querySelector('#study-count').textContent.startsWith('200 of 200')");
    browser.wait_until(&format!("{cell} === '50.55 ± 0.22 %'"));
    browser
        .evaluate("document.querySelectorAll('#list details').forEach(group => group.open = true)");
    browser.wait_until("document.querySelectorAll('.item').length === 200");
    check(&mut browser, &watching, false);
}

#[test]
#[ignore = "needs Chromium"]
fn hostile_names_are_text() {
    let mut browser = Browser::start();
    let place = Place::new();
    write_template(&place);
    let run = format!("runs/{HOSTILE}-seed1");
    for name in [
        run.as_str(),
        &format!("runs/study {HOSTILE}/runs/{HOSTILE}-seed2"),
    ] {
        write_run(&place, name, 2, 0.5);
        let mut assessment: Value =
            serde_json::from_str(&place.text("template/assessment/assessment.json")).unwrap();
        assessment["classes"][0]["class"] = json!(HOSTILE);
        place.write(
            &format!("{name}/assessment/assessment.json"),
            assessment.to_string(),
        );
        place.write(&format!("{name}/steps.jsonl"), format!("{HOSTILE}\n"));
    }
    let watching = Watching::start(&place, &["runs"]);
    browser.go(&watching.url, 1400);
    browser.wait_until("document.querySelectorAll('.item').length >= 1");
    browser
        .evaluate("document.querySelectorAll('#list details').forEach(group => group.open = true)");
    browser.wait_until("document.querySelectorAll('.item').length === 2");
    browser.evaluate(
        "document.querySelectorAll('.item input:not(:checked)').forEach(input => input.click())",
    );
    browser.evaluate("document.querySelector('.show-study').click()");
    browser.wait_until("document.querySelectorAll('.run').length === 2");
    browser.wait_until("document.querySelectorAll('#matrix tbody tr').length === 3");
    browser.wait_until("document.querySelectorAll('.legend li').length > 0");
    let text = browser.evaluate("document.body.innerText");
    assert!(
        text.as_str().unwrap().matches(HOSTILE).count() >= 3,
        "{text}"
    );
    assert_eq!(
        browser.evaluate("document.querySelectorAll('img, script:not([src])').length"),
        0
    );
    check(&mut browser, &watching, false);
}
