//! Commands that receive a signal while they read their images.

use crate::common;
use crate::trial;

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use common::Place;
use image::{Rgb, RgbImage};
use trial::{command, said, send};

/// Number of images: one file under many names.
const NAMES: usize = 30;
/// Side of an image in pixels. Decoding all of them takes seconds.
const SIDE: u32 = 3000;

/// Writes two classes of large images, and two policies for them.
fn write_photos(place: &Place) {
    let first = place.path("photos/cat/0.png");
    for class in ["cat", "dog"] {
        fs::create_dir_all(place.path("photos").join(class)).unwrap();
    }
    RgbImage::from_pixel(SIDE, SIDE, Rgb([7, 8, 9]))
        .save(&first)
        .unwrap();
    for index in 1..NAMES {
        let class = ["cat", "dog"][index % 2];
        fs::hard_link(&first, place.path(&format!("photos/{class}/{index}.png"))).unwrap();
    }
    for policy in ["one_cycle\"\nlr_max", "constant\"\nlr"] {
        let kind = policy.split('"').next().unwrap();
        place.write(
            &format!("{kind}.toml"),
            format!(
                "model = \"mlp\"\ndata.path = \"photos\"\n[policy]\nkind = \"{policy} = 0.01\n"
            ),
        );
    }
}

/// Whether a process handles the signal with this number.
fn listens(process: u32, signal: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = u64::from_str_radix(caught.unwrap().trim(), 16).unwrap();
    caught >> (signal - 1) & 1 == 1
}

#[test]
fn a_signal_ends_the_process_at_once() {
    let place = Place::new();
    write_photos(&place);
    let photos = ["--data", "photos", "--model", "mlp"];
    for (args, words) in [
        (
            ["train"].to_vec(),
            "before the first step; nothing was written",
        ),
        (["find"].to_vec(), "run the same command again to continue"),
        (["fit"].to_vec(), "run the same command again to continue"),
        (
            ["compare", "one_cycle.toml", "constant.toml"].to_vec(),
            "run the same command again to continue",
        ),
    ] {
        for (name, number) in [("-INT", 2), ("-TERM", 15)] {
            let out = format!("{}{name}", args[0]);
            let data = if args[0] == "compare" {
                &[][..]
            } else {
                &photos
            };
            let args = [&args[..], data, &["--threads", "1", "--out", &out]].concat();
            let mut command = command(&place, &args);
            command.env("XDG_CACHE_HOME", place.path("cache"));
            let child = command.spawn().unwrap();
            let since = Instant::now();
            while !listens(child.id(), number) {
                assert!(
                    since.elapsed() < Duration::from_secs(60),
                    "the process never handles signals"
                );
                thread::sleep(Duration::from_millis(1));
            }
            send(name, &child);
            let output = child.wait_with_output().unwrap();
            let err = said(&output);
            assert_eq!(output.status.code(), Some(128 + number as i32), "{err}");
            assert!(err.starts_with("stopped") && err.contains(words), "{err}");
            assert_eq!(err.lines().count(), 1, "{err}");
            // All decoded images would have been written to the cache first.
            assert!(!place.path("cache").exists(), "{out}: all were decoded");
            let run = place.path(&out);
            let files = ["", "runs"].map(|folder| run.join(folder));
            let files = files
                .iter()
                .flat_map(|folder| fs::read_dir(folder).into_iter().flatten());
            let mut names = files.map(|entry| entry.unwrap().file_name());
            assert!(
                names.all(|name| name == ".lock" || name == "runs"),
                "something of {out} was written"
            );
        }
    }
}
