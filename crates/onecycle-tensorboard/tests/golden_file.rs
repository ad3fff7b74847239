//! The bytes of an event file that TensorBoard's own messages and record writer made
//! (`scripts/goldens/tensorboard_events.py`).

use onecycle_tensorboard::{
    Event, EventWriter, Experiment, HParam, Metric, SessionStatus, Summary,
};

const GOLDEN: &[u8] = include_bytes!("goldens/events.bin");
/// Signature and header of a PNG file of 3 x 2 pixels.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR\x00\x00\x00\x03\x00\x00\x00\x02";

/// The records of a file: length and checksum, data, checksum.
fn records(file: &[u8]) -> Vec<&[u8]> {
    let mut records = Vec::new();
    let mut rest = file;
    while !rest.is_empty() {
        let length = u64::from_le_bytes(rest[..8].try_into().expect("eight bytes"));
        let (record, after) = rest.split_at(length as usize + 16);
        records.push(record);
        rest = after;
    }
    records
}

#[test]
fn every_kind_of_event_has_the_bytes_of_tensorboard() {
    let lr_max = "lr_max".to_owned();
    let summaries = [
        (
            300,
            Summary::default()
                .scalar("loss", 0.25)
                .scalar("lr", f64::INFINITY),
        ),
        (0, Summary::default().text("notes", "**bold**")),
        (
            7,
            Summary::default().image("figure", PNG).expect("a PNG file"),
        ),
        (
            0,
            Summary::default().hparams(&[(lr_max.clone(), HParam::Number(0.5))], "one-cycle", 1.5),
        ),
        (
            0,
            Summary::default().session_end(SessionStatus::Success, 2.5),
        ),
        (
            0,
            Summary::default().experiment(&Experiment {
                hparams: &[(lr_max, vec![HParam::Number(0.5), HParam::Number(1.0)])],
                metrics: &[Metric {
                    tag: "loss",
                    name: "the loss",
                }],
                created: 1.5,
            }),
        ),
    ];
    let mut file = Vec::new();
    let mut writer = EventWriter::new(&mut file, 1.5).expect("memory");
    for (step, summary) in summaries {
        writer
            .write(Event::summary(1.5, step, summary))
            .expect("memory");
    }
    let (ours, golden) = (records(&file), records(GOLDEN));
    assert_eq!(ours.len(), golden.len());
    for (number, (ours, golden)) in ours.iter().zip(&golden).enumerate() {
        assert_eq!(ours, golden, "record {number}");
    }
}

#[test]
fn other_bytes_are_no_image() {
    for bytes in [&b""[..], b"GIF89a", &PNG[..20]] {
        assert!(Summary::default().image("figure", bytes).is_none());
    }
}
