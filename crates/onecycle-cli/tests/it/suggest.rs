//! `onecycle suggest` on recorded curves.

use crate::common;

use common::Place;
use serde_json::{Value, json};

const RULES: [&str; 7] = [
    "ignite",
    "lightning",
    "minimum",
    "slide",
    "steep",
    "torch_lr_finder",
    "valley",
];

/// A loss that falls from 2.3 to 0.8 around lr = 0.003 and rises without limit above 0.3.
fn curve() -> (Vec<f64>, Vec<f64>) {
    let lr: Vec<f64> = (0..120)
        .map(|i| 10_f64.powf(-6.0 + i as f64 / 17.0))
        .collect();
    let loss = |lr: f64| 2.3 - 1.5 / (1.0 + (0.003 / lr).powi(2)) + (lr / 0.3).powi(4);
    let losses = lr.iter().map(|lr| loss(*lr)).collect();
    (lr, losses)
}

fn csv(lr: &[f64], loss: &[f64]) -> String {
    let rows = lr
        .iter()
        .zip(loss)
        .map(|(lr, loss)| format!("{lr:?},{loss:?}\n"));
    format!("lr,loss\n{}", rows.collect::<String>())
}

#[test]
fn the_json_format_that_other_programs_rely_on() {
    let place = Place::new();
    let (lr, loss) = curve();
    place.write("curve.csv", csv(&lr, &loss));
    place.write("curve.json", json!({ "lr": lr, "loss": loss }).to_string());
    let by_csv = place.json(&["suggest", "curve.csv", "--format", "json"]);
    let by_json = place.json(&["suggest", "curve.json", "--format", "json"]);
    assert_eq!(by_csv, by_json);
    let keys: Vec<_> = by_csv.as_object().unwrap().keys().cloned().collect();
    assert_eq!(keys, ["constant", "one_cycle_max", "rules", "verdict"]);
    assert_eq!(by_csv["verdict"], "ok");
    let max = by_csv["one_cycle_max"].as_f64().unwrap();
    let constant = by_csv["constant"].as_f64().unwrap();
    assert!(
        (0.03..0.3).contains(&max) && constant <= max,
        "{max} {constant}"
    );
    let rules: Vec<_> = by_csv["rules"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    assert_eq!(rules, RULES);
    for rule in RULES {
        let answer = &by_csv["rules"][rule];
        assert_eq!(answer["verdict"], "ok", "{rule}");
        assert!(answer["lr"].as_f64().unwrap() > 0.0, "{rule}");
    }
    let text = place.succeed(&["suggest", "curve.csv"]);
    assert!(
        text.contains("one_cycle_max") && text.contains("torch_lr_finder"),
        "{text}"
    );
}

#[test]
fn curves_without_a_suggestion() {
    let place = Place::new();
    let (lr, _) = curve();
    let n = lr.len();
    let cases = [
        (
            "no_descent",
            lr.iter().map(|lr| 1.0 + lr).collect::<Vec<_>>(),
        ),
        ("no_descent", vec![2.3; n]),
        (
            "never_diverged",
            lr.iter().map(|lr| -(1.0 + 1e3 * lr).ln()).collect(),
        ),
        ("not_finite", vec![f64::NAN; n]),
    ];
    for (verdict, losses) in cases {
        place.write("curve.csv", csv(&lr, &losses));
        let answer = place.json(&["suggest", "curve.csv", "--format", "json"]);
        assert_eq!(
            (&answer["verdict"], &answer["one_cycle_max"]),
            (&json!(verdict), &Value::Null)
        );
    }
    place.write("curve.csv", csv(&lr[..3], &[1.0, 0.5, 2.0]));
    let answer = place.json(&["suggest", "curve.csv", "--format", "json"]);
    assert_eq!(
        (&answer["verdict"], &answer["constant"]),
        (&json!("too_short"), &Value::Null)
    );
    assert_eq!(
        answer["rules"]["slide"],
        json!({ "lr": null, "verdict": "too_short" })
    );
}

#[test]
fn files_without_a_curve_are_refused() {
    let place = Place::new();
    let cases: [(&str, &[u8], &[&str]); 7] = [
        ("empty.csv", b"", &["empty.csv", "empty", "lr and loss"]),
        (
            "names.csv",
            b"rate,loss\n1,2\n",
            &["names.csv, line 1", "`lr`"],
        ),
        (
            "word.csv",
            b"lr,loss\n0.1,high\n",
            &["word.csv, line 2", "loss = `high`"],
        ),
        (
            "order.csv",
            b"lr,loss\n0.2,1\n0.1,1\n",
            &["order.csv, line 3", "0.1", "0.2"],
        ),
        (
            "lists.json",
            b"{\"lr\": [1, 2], \"loss\": [1]}",
            &["lists.json", "1 entries"],
        ),
        ("cut.json", b"{\"lr\": [1, 2], \"lo", &["cut.json, line 1"]),
        ("bytes.csv", b"\xff\xfe\x00", &["bytes.csv"]),
    ];
    for (name, contents, words) in cases {
        place.write(name, contents);
        let answer = place.onecycle(&["suggest", name, "--format", "json"]);
        assert_eq!((answer.code, answer.out.as_str()), (1, ""), "{name}");
        assert_eq!(answer.err.lines().count(), 1, "{}", answer.err);
        for word in words {
            assert!(
                answer.err.contains(word),
                "{name}: {word} is not in {}",
                answer.err
            );
        }
    }
    let answer = place.onecycle(&["suggest", "nowhere.csv"]);
    assert!(
        answer.code == 1 && answer.err.contains("nowhere.csv"),
        "{}",
        answer.err
    );
}
