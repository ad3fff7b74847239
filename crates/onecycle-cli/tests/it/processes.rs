//! Several processes without MPI, and linear scaling. `scripts/mpi_trial.sh` uses a real MPI.

use crate::{common, trial};

use common::Place;
use trial::{command, said, write_digits};

const TRAIN: [&str; 10] = [
    "train",
    "--data",
    "digits",
    "--model",
    "lenet5",
    "--steps",
    "1",
    "--threads",
    "1",
    "--out",
];

#[test]
fn a_command_without_mpi_does_not_train_several_times() {
    let place = Place::new();
    write_digits(&place);
    for variable in ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE"] {
        let mut alone = command(&place, &[&TRAIN[..], &["run"]].concat());
        let output = alone.env(variable, "4").output().unwrap();
        let text = said(&output);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(
            text.contains("4 processes") && text.contains("--features mpi"),
            "{text}"
        );
        assert!(!place.path("run").exists());
        let mut find = TRAIN;
        find[0] = "find";
        let output = command(&place, &[&find[..5], &["--out", "run"]].concat())
            .env(variable, "4")
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).contains("--features mpi"));
        assert!(!place.path("run").exists());
    }
    // One process is fine, and so is a command that trains nothing.
    for (size, args) in [
        ("1", [&TRAIN[..], &["run"]].concat()),
        ("4", vec!["recipes"]),
    ] {
        let mut command = std::process::Command::new(common::binary());
        let command = command.args(args).current_dir(place.path(""));
        let output = command.env("OMPI_COMM_WORLD_SIZE", size).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
    }
}

/// "When the minibatch size is multiplied by k, multiply the learning rate by k."
#[test]
fn the_rate_is_scaled_with_the_batch() {
    let place = Place::new();
    write_digits(&place);
    let scaled = [
        "run",
        "--batch-size",
        "32",
        "--lr-max",
        "0.01",
        "--linear-scaling",
        "8",
    ];
    let output = command(&place, &[&TRAIN[..], &scaled].concat())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let run: toml::Table = place.text("run/run.toml").parse().unwrap();
    assert_eq!(run["config"]["policy"]["lr_max"].as_float(), Some(0.04));

    let other = [
        "other",
        "--set",
        "policy={kind=\"cosine\",lr=0.1}",
        "--linear-scaling",
        "8",
    ];
    let output = command(&place, &[&TRAIN[..], &other].concat())
        .output()
        .unwrap();
    let text = said(&output);
    assert!(
        !output.status.success() && text.contains("lr_max"),
        "{text}"
    );
}
