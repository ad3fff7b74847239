//! `onecycle slurm` with a stand-in for `sbatch`. `scripts/slurm_trial.sh` uses a real Slurm.

use crate::{common, studies, trial};

use std::{fs, os::unix::fs::PermissionsExt, process::Output};

use common::Place;
use studies::write_policies;
use trial::{command, said};

const JOB: [&str; 10] = [
    "slurm",
    "compare",
    "cycle.toml",
    "flat.toml",
    "--out",
    "shared",
    "--array",
    "3",
    "--time",
    "10m",
];

/// Runs the command with a folder of stand-ins as its only path.
fn run(place: &Place, args: &[&str]) -> Output {
    let mut command = command(place, args);
    command.env("PATH", place.path("bin"));
    command.stdout(std::process::Stdio::piped());
    command.output().unwrap()
}

fn stand_in(place: &Place, script: &str) {
    let path = place.write("bin/sbatch", format!("#!/bin/sh\n{script}\n"));
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn the_script_is_submitted() {
    let place = Place::new();
    write_policies(&place);
    stand_in(&place, "echo \"$@\" >submitted; echo '42;trial'");
    let output = run(&place, &[&JOB[..], &["--format", "json"]].concat());
    assert!(output.status.success(), "{}", said(&output));
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["job"], "42");
    assert_eq!(answer["script"], "shared/slurm/job.sh");
    assert_eq!(place.text("submitted"), "--parsable shared/slurm/job.sh\n");
    let script = place.text("shared/slurm/job.sh");
    assert!(script.contains("#SBATCH --array=1-3\n"), "{script}");
    let program = common::binary().display().to_string();
    assert!(script.contains(&program), "{script}");
    // Nothing is trained here.
    assert!(!place.path("shared/runs").exists());
}

#[test]
fn a_script_is_printed_without_slurm() {
    let place = Place::new();
    write_policies(&place);
    let output = run(&place, &[&JOB[..], &["--print"]].concat());
    assert!(output.status.success(), "{}", said(&output));
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(printed, place.text("shared/slurm/job.sh"));

    let output = run(&place, &JOB);
    assert_eq!(output.status.code(), Some(1));
    let told = said(&output);
    assert!(
        told.contains("cannot run sbatch") && told.contains("--print"),
        "{told}"
    );
    assert_eq!(told.lines().count(), 1, "{told}");
}

#[test]
fn refusals_name_their_reason() {
    let place = Place::new();
    write_policies(&place);
    stand_in(
        &place,
        "echo 'sbatch: error: invalid partition' >&2; exit 1",
    );
    for (args, told) in [
        (&JOB[..], "invalid partition"),
        (
            &[
                "slurm",
                "compare",
                "cycle.toml",
                "none.toml",
                "--array",
                "2",
            ],
            "none.toml",
        ),
        (
            &["slurm", "reproduce", "momenta", "--array", "2"],
            "NAME = momenta",
        ),
    ] {
        let output = run(&place, args);
        assert_eq!(output.status.code(), Some(1));
        assert!(said(&output).contains(told), "{}", said(&output));
    }
}
