//! `onecycle plan`: every policy in every format.

use crate::common;
use crate::presets;

use common::{Place, numbers};
use onecycle_test_support::{Tolerance, assert_series, golden, list, text};
use onecycle_train::{Config, experiment};
use serde_json::Value;

const PAPER: &str = r#"
[policy]
kind = "one_cycle"
lr_max = 0.8
lr_min = 0.08
lr_final = 0.0008
annihilation = "13ep"
momentum = [0.95, 0.85]
"#;

/// The paper's run: 41 + 41 + 13 epochs on CIFAR-10 at batch size 512. `plan` reads no images.
#[test]
fn the_papers_cycle() {
    let place = Place::new();
    let run = "epochs = 95\nbatch_size = 512\ndata.name = \"cifar10\"\n";
    place.write("paper.toml", format!("{run}{PAPER}"));
    let plan = place.json(&["plan", "--config", "paper.toml", "--format", "json"]);
    assert_eq!(plan["steps"], 9310);
    let (lr, momentum) = (numbers(&plan["lr"]), numbers(&plan["momentum"]));
    assert_eq!((lr.len(), momentum.len()), (9310, 9310));
    let leg = 41 * 98;
    assert_eq!(
        [lr[0], lr[leg], lr[2 * leg], lr[9309]],
        [0.08, 0.8, 0.08, 0.0008]
    );
    assert_eq!(
        [momentum[0], momentum[leg], momentum[9309]],
        [0.95, 0.85, 0.95]
    );
    assert!(plan["weight_decay"].is_null());
}

/// With only `steps` besides the policy, an epoch is that of the default data set: 469 steps.
#[test]
fn a_policy_and_steps_are_enough() {
    let place = Place::new();
    place.write("policy.toml", format!("steps = 9310\n{PAPER}"));
    let plan = place.json(&["plan", "--config", "policy.toml", "--format", "json"]);
    let lr = numbers(&plan["lr"]);
    let leg = (9310 - 13 * 469) / 2;
    assert_eq!(lr.len(), 9310);
    assert_eq!(
        [lr[0], lr[leg], lr[2 * leg], lr[9309]],
        [0.08, 0.8, 0.08, 0.0008]
    );
}

#[test]
fn a_policy_with_its_own_length_is_enough() {
    let place = Place::new();
    let text = "[policy]\nkind = \"torch_one_cycle\"\nmax_lr = 0.8\ntotal_steps = 9310\npct_start = 0.3\n\
                three_phase = true\nanneal_strategy = \"linear\"\n";
    place.write("policy.toml", text);
    let plan = place.json(&["plan", "--config", "policy.toml", "--format", "json"]);
    let lr = numbers(&plan["lr"]);
    assert_eq!((plan["steps"].as_u64(), lr.len()), (Some(9310), 9310));
    assert_eq!(lr[0], 0.8 / 25.0);
    // PyTorch's peak is at 0.3 * 9310 - 1 = 2792, a whole step here.
    assert_eq!(lr[2792], 0.8);
}

#[test]
fn every_kind_prints_the_values_of_the_library() {
    let place = Place::new();
    for case in presets::CASES {
        let path = place.write("policy.toml", case.file());
        let plan = place.json(&["plan", "--config", "policy.toml", "--format", "json"]);
        let kind = case.kind;
        assert_eq!(plan["steps"].as_u64(), Some(case.steps()), "{kind}");
        let config = Config::read(&path).unwrap();
        let wanted = experiment::plan(&config, None).unwrap();
        let steps = 0..case.steps();
        let lr: Vec<f64> = steps.clone().map(|n| wanted.at(n).lr).collect();
        assert_eq!(numbers(&plan["lr"]), lr, "{kind}");
        assert_eq!(plan["momentum"].is_null(), !case.momentum, "{kind}");
        if case.momentum {
            let momentum: Option<Vec<f64>> = steps.map(|n| wanted.at(n).momentum).collect();
            assert_eq!(Some(numbers(&plan["momentum"])), momentum, "{kind}");
        }
        assert!(!plan["phases"].as_array().unwrap().is_empty(), "{kind}");
    }
}

/// `onecycle plan` prints the numbers that PyTorch computes. The goldens belong to `onecycle`.
#[test]
fn goldens_of_torch() {
    let onecycle = concat!(env!("CARGO_MANIFEST_DIR"), "/../onecycle");
    let goldens = golden(onecycle, "schedules_torch");
    let place = Place::new();
    let mut seen = 0;
    for case in list(&goldens, "cases") {
        let (kind, of_optimizer) = match text(case, "class") {
            "OneCycleLR" => ("torch_one_cycle", false),
            "CyclicLR" => ("torch_cyclic", false),
            "MultiStepLR" => ("torch_multi_step", true),
            "CosineAnnealingLR" => ("torch_cosine_annealing", true),
            _ => continue,
        };
        let mut policy = toml::Table::new();
        policy.insert("kind".to_owned(), kind.into());
        for (key, value) in case["kwargs"].as_object().unwrap() {
            // TOML has no null; a missing key means None. A policy has no `last_epoch`, here always -1.
            if !value.is_null() && key != "last_epoch" {
                policy.insert(key.clone(), toml::Value::try_from(value).unwrap());
            }
        }
        if of_optimizer {
            let lr = case["optimizer_kwargs"]["lr"].as_f64().unwrap();
            policy.insert("lr".to_owned(), lr.into());
        }
        let mut file = toml::Table::new();
        if kind != "torch_one_cycle" {
            file.insert("steps".to_owned(), case["steps"].as_i64().unwrap().into());
        }
        file.insert("policy".to_owned(), policy.into());
        place.write("golden.toml", file.to_string());

        let plan = place.json(&["plan", "--config", "golden.toml", "--format", "json"]);
        let name = text(case, "name");
        assert_close(&plan["lr"], &case["lr"], name);
        assert_eq!(
            plan["momentum"].is_null(),
            case["momentum"].is_null(),
            "{name}"
        );
        if !case["momentum"].is_null() {
            assert_close(&plan["momentum"], &case["momentum"], name);
        }
        seen += 1;
    }
    assert_eq!(seen, 43 + 9 + 3 + 4);
}

fn assert_close(found: &Value, wanted: &Value, name: &str) {
    let (found, wanted) = (numbers(found), numbers(wanted));
    assert_series(name, &found, &wanted, Tolerance::OfLargest(1e-12));
}

#[test]
fn table_csv_and_plot() {
    let place = Place::new();
    let args = ["plan", "--steps", "20", "--lr-max", "0.5", "--format"];
    let format = |name| place.succeed(&[&args[..], &[name]].concat());

    let table = format("table");
    let rows: Vec<&str> = table.lines().collect();
    assert_eq!(rows.len(), 4, "{table}");
    for (row, start) in rows.iter().zip(["phase", "up", "down", "annihilation"]) {
        assert!(row.starts_with(start), "{table}");
    }
    assert!(
        rows[1].contains("0.05 → 0.5") && rows[1].contains("0.95 → 0.85"),
        "{table}"
    );

    let csv = format("csv");
    let mut lines = csv.lines();
    assert_eq!(
        lines.next(),
        Some("step,lr,momentum,weight_decay,batch_size")
    );
    let json: Value = serde_json::from_str(&format("json")).unwrap();
    for (n, line) in lines.enumerate() {
        let fields: Vec<&str> = line.split(',').collect();
        assert_eq!(fields.len(), 5);
        assert_eq!(fields[0], n.to_string());
        assert_eq!(fields[1].parse::<f64>().ok(), json["lr"][n].as_f64());
        assert_eq!(fields[2].parse::<f64>().ok(), json["momentum"][n].as_f64());
        assert_eq!(fields[3..], ["", ""]);
    }
    assert_eq!(csv.lines().count(), 21);

    let plot = place.succeed(&args[..5]);
    assert!(plot.contains("learning rate") && plot.contains("momentum"));
    assert!(plot.ends_with(&table));
    assert!(plot.lines().all(|line| line.chars().count() <= 120));
}

#[test]
fn figures() {
    let place = Place::new();
    place.succeed(&[
        "plan", "--figure", "a.svg", "--figure", "b.png", "--format", "table",
    ]);
    let svg = place.text("a.svg");
    assert!(svg.trim_start().starts_with("<svg") || svg.starts_with("<?xml"));
    assert!(svg.trim_end().ends_with("</svg>"));
    assert!(svg.contains("momentum"));
    let png = image::load_from_memory(&place.read("b.png"))
        .unwrap()
        .to_rgb8();
    assert!(png.width() > 300 && png.height() > 200);
    let first = png.get_pixel(0, 0);
    assert!(png.pixels().any(|pixel| pixel != first), "an empty picture");

    // No figure is written if one of the names is wrong.
    let answer = place.onecycle(&["plan", "--figure", "c.svg", "--figure", "d.gif"]);
    assert_eq!(answer.code, 1);
    assert!(answer.err.contains("d.gif"), "{}", answer.err);
    assert!(!place.path("c.svg").exists());
}

#[test]
fn the_length_follows_from_flags_settings_and_data() {
    let place = Place::new();
    let steps = |args: &[&str]| {
        let all = [&["plan", "--format", "json"], args].concat();
        place.json(&all)["steps"].as_u64().unwrap()
    };
    assert_eq!(steps(&[]), 5 * 469);
    assert_eq!(steps(&["--epochs", "0.5"]), 235);
    assert_eq!(steps(&["--epochs", "2", "--batch-size", "1000"]), 120);
    assert_eq!(steps(&["--epochs", "2", "--batch-size", "100000"]), 2);
    assert_eq!(steps(&["--epochs", "1", "--limit", "512"]), 4);
    assert_eq!(steps(&["--epochs", "1", "--data", "cifar100"]), 391);
    assert_eq!(
        steps(&["--epochs", "1", "--set", "data.validation=0.1666"]),
        391
    );
    assert_eq!(
        steps(&["--data", "photos", "--images", "1280", "--epochs", "3"]),
        30
    );
    assert_eq!(
        steps(&[
            "--set",
            "policy.kind=optax_constant",
            "--set",
            "policy.value=1",
            "--steps",
            "3"
        ]),
        3
    );
    let grown = "policy.batch_size=[[\"0ep\", 64], [\"1ep\", 128]]";
    assert_eq!(steps(&["--epochs", "2", "--set", grown]), 938 + 469);
}
