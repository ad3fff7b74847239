//! Pages of the commands in a real browser: no failing script, no request, every figure drawn and
//! charts zoomed, nothing wider than the window.
//!
//! Needs Chromium: `cargo test -p onecycle-cli --test it pages -- --ignored`.

use crate::browser;
use crate::common;
use crate::trial;

mod watch;

use std::path::Path;

use browser::Browser;
use common::Place;
use trial::write_digits;

/// JavaScript: names of the figures in which no shape besides the axes is longer than 2 pixels, or
/// whose chart has no coloured pixel.
const EMPTY_FIGURES: &str = r#"
    [...document.querySelectorAll("figure")].filter(figure => {
        const chart = figure.querySelector(".chart")?.chart;
        if (chart) {
            chart.draw();
            const canvas = figure.querySelector("canvas");
            const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            for (let at = 0; at < data.length; at += 4) {
                const rgb = data.slice(at, at + 3);
                if (data[at + 3] > 200 && Math.max(...rgb) - Math.min(...rgb) > 60) return false;
            }
            return true;
        }
        const shapes = [...figure.querySelectorAll("svg .line, svg .area, svg circle")];
        return !shapes.some(shape => {
            const box = shape.getBoundingClientRect();
            return box.width > 0 && box.height >= 0 && box.width + box.height > 2;
        });
    }).map(figure => figure.id)
"#;

/// Checks a page in a wide and in a narrow window.
fn check(browser: &mut Browser, page: &Path, figures: usize) {
    for width in [1400, 420] {
        let told = browser.open(page, width);
        let what = format!("{} at {width} pixels", page.display());
        assert!(told.errors.is_empty(), "{what}: {:?}", told.errors);
        assert!(told.requests.is_empty(), "{what}: {:?}", told.requests);
        let count = browser.evaluate("document.querySelectorAll('figure svg').length");
        assert_eq!(count, figures, "{what}");
        // Charts draw when the page has told them how wide they are.
        browser.wait_until("[...document.querySelectorAll('.chart')].every(one => { one.chart.draw(); return one.chart.uplot; })");
        let empty = browser.evaluate(EMPTY_FIGURES);
        assert_eq!(empty, serde_json::json!([]), "{what}");
        let over = browser.evaluate("document.documentElement.scrollWidth - window.innerWidth");
        assert!(
            over.as_i64().unwrap() <= 0,
            "{what}: {over} pixels too wide"
        );
    }
}

#[test]
#[ignore = "needs Chromium"]
fn pages_are_complete_in_a_browser() {
    let mut browser = Browser::start();
    let place = Place::new();
    write_digits(&place);
    let small = "model = \"lenet5\"\nepochs = 2\nbatch_size = 8\neval_batch_size = 16\ndata.path = \"digits\"\n";
    place.write("a.toml", small);
    place.write("b.toml", format!("{small}optimizer.weight_decay = 1e-3\n"));
    place.succeed(&["train", "--config", "a.toml", "--out", "run", "-q"]);
    check(&mut browser, &place.path("run/report.html"), 6);
    // A chart is zoomed by keys, and shows everything again.
    let width = "(() => { const { min, max } = document.querySelector('.chart').chart.uplot.scales.x; return max - min; })()";
    let whole = browser.evaluate(width).as_f64().unwrap();
    browser.evaluate("document.querySelector('.plot').focus()");
    browser.press("+");
    browser.wait_until(&format!("Math.abs({width} - {whole} / 2) < 1e-6 * {whole}"));
    browser.press("0");
    browser.wait_until(&format!("Math.abs({width} - {whole}) < 1e-6 * {whole}"));
    place.succeed(&[
        "compare", "a.toml", "b.toml", "--seeds", "2", "--out", "compared", "-q",
    ]);
    check(&mut browser, &place.path("compared/compare.html"), 5);
    place.succeed(&[
        "reproduce",
        "long-annihilation",
        "--model",
        "lenet5",
        "--images",
        "64",
        "--test-images",
        "32",
        "--epochs",
        "2",
        "--seeds",
        "2",
        "--out",
        "repeated",
        "-q",
    ]);
    check(
        &mut browser,
        &place.path("repeated/long-annihilation/index.html"),
        4,
    );
}

/// Each check fails on a page that is made to fail it.
#[test]
#[ignore = "needs Chromium"]
fn broken_pages_are_detected() {
    let mut browser = Browser::start();
    let place = Place::new();
    let page = |body: &str| {
        place.write(
            "page.html",
            format!("<!doctype html><html><body>{body}</body></html>"),
        )
    };
    let told = browser.open(&page("<script>undefined.x</script>"), 800);
    assert_eq!(told.errors.len(), 1, "{told:?}");
    let told = browser.open(&page("<img src=\"other.png\">"), 800);
    assert!(told.requests[0].ends_with("other.png"), "{told:?}");
    browser.open(
        &page("<figure id=\"none\"><svg><path class=\"axis\" d=\"M0 0H9\"/></svg></figure>"),
        800,
    );
    assert_eq!(browser.evaluate(EMPTY_FIGURES), serde_json::json!(["none"]));
}
