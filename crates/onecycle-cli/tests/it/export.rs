//! `onecycle export`: the file, its refusals, and that a failed write leaves nothing half written.

use std::{fs, process::Command};

use crate::common::{Place, Refusals, binary};

/// A run that has trained LeNet-5 for one step.
fn trained() -> Place {
    let place = Place::new();
    place.succeed(&[
        "train", "--model", "lenet5", "--limit", "64", "--steps", "1", "-q", "--seed", "7",
        "--out", "run",
    ]);
    place
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|part| part == text.as_bytes())
}

#[test]
fn a_run_and_its_model_file_give_the_same_file() {
    let place = trained();
    let said = place.succeed(&["export", "run", "model.onnx"]);
    for part in [
        "model.onnx: lenet5, 10 classes, 0.25 MB",
        "images         uint8    [batch, 28, 28, 1]  Pixels, grey values from 0 to 255",
        "logits         float32  [batch, 10]",
        "probabilities  float32  [batch, 10]",
        "onnxruntime.InferenceSession(\"model.onnx\").run([\"probabilities\"], {\"images\": images})",
    ] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    let file = place.read("model.onnx");
    let metadata = [
        "\"Ankle boot\"",
        "fashion-mnist",
        "seed\x12\x017",
        "resize\x12\x04crop",
        "background\x12\x0f[255, 255, 255]",
    ];
    for text in metadata {
        assert!(contains(&file, text), "{text}");
    }

    let args = [
        "export",
        "run/model.safetensors",
        "second.onnx",
        "--format",
        "json",
    ];
    let said = place.json(&args);
    assert_eq!(place.read("second.onnx"), file);
    assert_eq!(said["bytes"], file.len());
    assert_eq!(said["file"], "second.onnx");
    assert_eq!(said["model"], "lenet5");
    assert_eq!(said["classes"][9], "Ankle boot");
    assert_eq!(
        said["input"].to_string(),
        r#"{"name":"images","shape":["batch",28,28,1],"type":"uint8"}"#
    );
    assert_eq!(said["outputs"][1]["name"], "probabilities");
    assert_eq!(said["outputs"][1]["shape"].to_string(), r#"["batch",10]"#);
}

#[test]
fn wrong_arguments_are_refused() {
    let place = trained();
    fs::create_dir(place.path("begun")).unwrap();
    fs::copy(place.path("run/run.toml"), place.path("begun/run.toml")).unwrap();
    fs::create_dir(place.path("folder")).unwrap();
    fs::create_dir(place.path("folder.onnx")).unwrap();
    place.write("text.safetensors", "no model");
    // The same model with NaN as its first weight.
    let mut model = place.read("run/model.safetensors");
    let header = u64::from_le_bytes(model[..8].try_into().unwrap()) as usize;
    model[8 + header..12 + header].copy_from_slice(&f32::NAN.to_le_bytes());
    place.write("nan.safetensors", model);

    let cases: &[(&[&str], &[&str])] = &[
        (&["run", "model.pt"], &["FILE = model.pt", ".onnx"]),
        (&["run", "model"], &["FILE = model", ".onnx"]),
        (
            &["run", "run/model.safetensors"],
            &["run/model.safetensors", ".onnx"],
        ),
        (&["nothing", "x.onnx"], &["nothing"]),
        (&["folder", "x.onnx"], &["folder/model.safetensors"]),
        (&["begun", "x.onnx"], &["begun", "onecycle resume begun"]),
        (
            &["text.safetensors", "x.onnx"],
            &["text.safetensors is not a model"],
        ),
        (
            &["nan.safetensors", "x.onnx"],
            &["NaN", "conv1.bias", "train the network again"],
        ),
        (&["run", "absent/x.onnx"], &["cannot write absent/x.onnx"]),
        (&["run", "folder.onnx"], &["cannot write folder.onnx"]),
    ];
    let mut refusals = Refusals::default();
    for (args, names) in cases {
        let all = [&["export"], *args].concat();
        refusals.expect(&place.onecycle(&all), names, &format!("{args:?}"));
        refusals.expect_none(&place.path("x.onnx"), &format!("{args:?}"));
    }
    refusals.end(cases.len());
    let left = fs::read_dir(place.path("")).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 6, "{left:?}");
}

#[test]
fn an_existing_file_is_replaced_completely_or_not_at_all() {
    let place = trained();
    place.write("model.onnx", "the file before");
    for point in ["full:half", "error:written", "kill:half", "kill:synced"] {
        let output = Command::new(binary())
            .args(["export", "run", "model.onnx"])
            .current_dir(place.path(""))
            .env("ONECYCLE_FAIL_POINT", format!("{point}:model.onnx:1"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{point}");
        assert!(output.stdout.is_empty(), "{point}");
        if !point.starts_with("kill") {
            assert!(
                said.starts_with("onecycle: cannot write model.onnx"),
                "{point}: {said}"
            );
            assert!(!place.path(".model.onnx.part").exists(), "{point}");
        }
        assert_eq!(place.text("model.onnx"), "the file before", "{point}");
    }
    place.succeed(&["export", "run", "model.onnx"]);
    assert!(contains(&place.read("model.onnx"), "Ankle boot"));
    assert!(!place.path(".model.onnx.part").exists());
}
