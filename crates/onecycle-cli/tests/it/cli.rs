//! `onecycle data`, `onecycle bench`, `--version` and `--help`.

use crate::common;

use common::Place;

#[test]
fn data_list() {
    let place = Place::new();
    let sets = place.json(&["data", "list", "--format", "json"]);
    let sets = sets.as_array().unwrap();
    let names: Vec<&str> = sets
        .iter()
        .map(|set| set["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["fashion-mnist", "mnist", "cifar10", "cifar100"]);
    let fashion = &sets[0];
    assert_eq!(fashion["classes"], 10);
    assert_eq!(
        (&fashion["train"], &fashion["test"]),
        (&60_000.into(), &10_000.into())
    );
    assert_eq!(fashion["shape"], "1x28x28");
    assert_eq!(fashion["licence"], "MIT, Zalando SE");
    // Fashion-MNIST is part of the repository.
    assert!(fashion["path"].as_str().unwrap().ends_with("fashion-mnist"));
    let text = place.succeed(&["data", "list"]);
    assert!(names.iter().all(|name| text.contains(name)), "{text}");
}

#[test]
fn data_verify() {
    let place = Place::new();
    let found = place.json(&["data", "verify", "fashion-mnist", "--format", "json"]);
    assert_eq!(found["name"], "fashion-mnist");
    let files = found["files"].as_array().unwrap();
    assert_eq!(files.len(), 4);
    assert!(
        files.iter().all(|file| file["status"] == "published"),
        "{found}"
    );

    // An exact copy is accepted; a copy with one flipped bit is not.
    let from = found["path"].as_str().unwrap();
    for file in files {
        let name = file["name"].as_str().unwrap();
        let bytes = std::fs::read(std::path::Path::new(from).join(name)).unwrap();
        place.write(&format!("copy/{name}"), bytes);
    }
    let same = place.onecycle(&["data", "verify", "fashion-mnist", "--path", "copy"]);
    assert_eq!(same.code, 0, "{}", same.err);
    let mut bytes = place.read("copy/t10k-labels-idx1-ubyte.gz");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    place.write("copy/t10k-labels-idx1-ubyte.gz", bytes);
    let differs = place.onecycle(&["data", "verify", "fashion-mnist", "--path", "copy"]);
    assert_eq!(differs.code, 1);
    let said = differs.out + &differs.err;
    assert!(said.contains("t10k-labels-idx1-ubyte.gz"), "{said}");
}

#[test]
fn bench() {
    let place = Place::new();
    let args = [
        "bench",
        "--model",
        "lenet5",
        "--batch",
        "8",
        "--steps",
        "2",
        "--warm-up",
        "1",
    ];
    let result = place.json(&[&args[..], &["--threads", "1", "--format", "json"]].concat());
    for key in [
        "images_per_second",
        "forward_ms",
        "backward_ms",
        "update_ms",
        "epoch_seconds",
        "default_run_seconds",
    ] {
        assert!(result[key].as_f64().unwrap() > 0.0, "{key}: {result}");
    }
    assert!(result["peak_memory_bytes"].is_u64());
    assert_eq!(result["model"], "lenet5");
    let trained = 60_000.0 / result["images_per_second"].as_f64().unwrap();
    let evaluated = 10_000.0 / 8.0 * result["forward_ms"].as_f64().unwrap() / 1e3;
    let epoch = result["epoch_seconds"].as_f64().unwrap();
    assert!((epoch - trained - evaluated).abs() < 1e-9 * epoch);
    assert_eq!(
        (&result["batch_size"], &result["threads"]),
        (&8.into(), &1.into())
    );
    let text = place.succeed(&args);
    for part in [
        "images/s",
        "MiB",
        "one epoch of 60000 images",
        "with defaults",
    ] {
        assert!(text.contains(part), "{text}");
    }
    let coloured = [&args[..], &["--shape", "3x32x48", "--classes", "100"]].concat();
    place.succeed(&coloured);
    let evaluation = [&args[..], &["--evaluation"]].concat();
    let text = place.succeed(&evaluation);
    assert!(text.starts_with("evaluation of lenet5"), "{text}");
    let result = place.json(&[&evaluation[..], &["--format", "json"]].concat());
    assert!(result["forward_ms"].as_f64().unwrap() > 0.0, "{result}");
    assert!(result["backward_ms"].is_null() && result["evaluation"] == true);
}

#[test]
fn version_and_help() {
    let place = Place::new();
    let version = place.succeed(&["--version"]);
    assert_eq!(
        version.trim(),
        format!("onecycle {}", env!("CARGO_PKG_VERSION"))
    );
    let commands = [
        "plan", "train", "resume", "predict", "evaluate", "data", "bench",
    ];
    let help = place.succeed(&["--help"]);
    for command in commands {
        assert!(help.contains(command), "{help}");
        assert!(
            place.succeed(&[command, "--help"]).contains("Usage"),
            "{command}"
        );
    }
}
