//! Views of a plan before any training: [`PlanView`] is a table, CSV, JSON, figures and text for a
//! terminal.

use std::fmt::Write as _;

use onecycle::{Hyper, Parameter, Phase, Plan};
use serde::Serialize;

use onecycle_plot::{
    Figure, Mark,
    format::significant,
    table::align,
    terminal::{self, Charset, XLabels},
};

use crate::{
    FileError,
    figures::{self, Tracks},
};

/// The hyper-parameters at every step of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanView {
    tracks: Tracks,
    phases: Vec<PhaseView>,
    /// Shorter side of the training images in pixels, per step.
    image_sizes: Option<Vec<usize>>,
}

/// One phase of a plan.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PhaseView {
    /// Name of the phase.
    pub name: String,
    /// Its first step, counted from 0.
    pub first_step: u64,
    /// Its last step (inclusive).
    pub last_step: u64,
    /// Hyper-parameters at the first step.
    pub from: Hyper,
    /// Hyper-parameters at the end of the phase. If the next phase starts with them, they are those
    /// of its first step. A hyper-parameter whose phases differ from those of the learning rate has
    /// its value at the last step here.
    pub to: Hyper,
}

/// JSON written by [`PlanView::json`].
#[derive(Serialize)]
struct Json<'a> {
    steps: usize,
    lr: &'a [f64],
    momentum: Option<&'a [f64]>,
    weight_decay: Option<&'a [f64]>,
    batch_size: Option<Vec<u64>>,
    image_size: Option<&'a [usize]>,
    phases: &'a [PhaseView],
}

impl PlanView {
    /// Evaluates `plan` at each of its steps.
    #[must_use]
    pub fn new(plan: &Plan) -> Self {
        let momentum = plan.phases_of(Parameter::Momentum);
        let weight_decay = plan.phases_of(Parameter::WeightDecay);
        let phase = |phase: &Phase| {
            let last = plan.at(phase.last_step);
            let end_value = |phases: &[Phase]| {
                let same = |other: &&Phase| {
                    (other.first_step, other.last_step) == (phase.first_step, phase.last_step)
                };
                phases.iter().find(same).map(|other| other.to)
            };
            let to = Hyper {
                lr: phase.to,
                momentum: end_value(&momentum).or(last.momentum),
                weight_decay: end_value(&weight_decay).or(last.weight_decay),
                batch_size: last.batch_size,
            };
            PhaseView {
                name: phase.name.to_string(),
                first_step: phase.first_step,
                last_step: phase.last_step,
                from: plan.at(phase.first_step),
                to,
            }
        };
        let values = (0..plan.steps()).map(|step| plan.at(step));
        Self::from_values(values, plan.phases().iter().map(phase).collect())
    }

    fn from_values(values: impl Iterator<Item = Hyper>, phases: Vec<PhaseView>) -> Self {
        let values: Vec<Hyper> = values.collect();
        let track = |value: fn(&Hyper) -> Option<f64>| {
            let has_any = values.iter().any(|v| value(v).is_some());
            has_any.then(|| {
                values
                    .iter()
                    .map(|v| value(v).unwrap_or(f64::NAN))
                    .collect()
            })
        };
        let marks = phases.iter().map(|p| Mark {
            x: p.first_step as f64,
            label: p.name.clone(),
        });
        let tracks = Tracks {
            step: (0..values.len()).map(|step| step as f64).collect(),
            lr: values.iter().map(|v| v.lr).collect(),
            momentum: track(|v| v.momentum),
            weight_decay: track(|v| v.weight_decay),
            batch_size: track(|v| v.batch_size.map(|size| size as f64)),
            phases: marks.collect(),
        };
        Self {
            tracks,
            phases,
            image_sizes: None,
        }
    }

    /// Adds the shorter side of the training images per step, in pixels
    /// ([`ImageSizes::sides`](crate::image_sizes::ImageSizes::sides)).
    #[must_use]
    pub fn with_image_sizes(self, sides: Option<Vec<usize>>) -> Self {
        PlanView {
            image_sizes: sides,
            ..self
        }
    }

    /// The hyper-parameters over the steps.
    #[must_use]
    pub fn tracks(&self) -> &Tracks {
        &self.tracks
    }

    /// The phases, in order.
    #[must_use]
    pub fn phases(&self) -> &[PhaseView] {
        &self.phases
    }

    /// First steps and names of the phases, for the figures of a run.
    #[must_use]
    pub fn marks(&self) -> &[Mark] {
        &self.tracks.phases
    }

    /// The phases as a text table, one line per phase, each ending with a line feed.
    ///
    /// Columns: name, first and last step (counted from 0, inclusive), number of steps, and for
    /// each hyper-parameter that the policy sets, and the image size, its values at the start and at
    /// the end.
    #[must_use]
    pub fn table(&self) -> String {
        let mut rows = vec![vec![
            "phase".to_owned(),
            "steps".to_owned(),
            "count".to_owned(),
        ]];
        for phase in &self.phases {
            let span = format!("{}–{}", phase.first_step, phase.last_step);
            let count = (phase.last_step + 1).saturating_sub(phase.first_step);
            rows.push(vec![phase.name.clone(), span, count.to_string()]);
        }
        type Value = fn(&Hyper) -> Option<f64>;
        let columns: [(&str, Value); 4] = [
            ("lr", |v| Some(v.lr)),
            ("momentum", |v| v.momentum),
            ("weight decay", |v| v.weight_decay),
            ("batch size", |v| v.batch_size.map(|size| size as f64)),
        ];
        for (name, value) in columns {
            if self.phases.iter().all(|phase| value(&phase.from).is_none()) {
                continue;
            }
            let text = |values| value(values).map_or_else(|| "–".to_owned(), significant);
            let cells =
                self.phases
                    .iter()
                    .map(|phase| match (text(&phase.from), text(&phase.to)) {
                        (from, to) if from == to => from,
                        (from, to) => format!("{from} → {to}"),
                    });
            for (row, cell) in rows
                .iter_mut()
                .zip(std::iter::once(name.to_owned()).chain(cells))
            {
                row.push(cell);
            }
        }
        if let Some(sides) = &self.image_sizes {
            rows[0].push("image size".to_owned());
            let at = |step: u64| sides.get(step as usize).copied().unwrap_or_default();
            for (row, phase) in rows.iter_mut().skip(1).zip(&self.phases) {
                row.push(match (at(phase.first_step), at(phase.last_step)) {
                    (from, to) if from == to => from.to_string(),
                    (from, to) => format!("{from} → {to}"),
                });
            }
        }
        align(&rows)
    }

    /// CSV with one row per step: `step,lr,momentum,weight_decay,batch_size`, and `image_size` if it
    /// changes over the run. Fields that the policy does not set are empty. Numbers read back to the
    /// same bits.
    #[must_use]
    pub fn csv(&self) -> String {
        let mut out = String::from("step,lr,momentum,weight_decay,batch_size");
        out.push_str(match self.image_sizes {
            Some(_) => ",image_size\n",
            None => "\n",
        });
        let field = |track: &Option<Vec<f64>>, i: usize| match track.as_ref().map(|track| track[i])
        {
            Some(value) if !value.is_nan() => format!("{value:?}"),
            _ => String::new(),
        };
        for (i, lr) in self.tracks.lr.iter().enumerate() {
            let momentum = field(&self.tracks.momentum, i);
            let weight_decay = field(&self.tracks.weight_decay, i);
            let batch_size = field(&self.tracks.batch_size, i);
            // Batch sizes are integers. Writing to a String cannot fail.
            let batch_size = batch_size.trim_end_matches(".0");
            let _ = write!(out, "{i},{lr:?},{momentum},{weight_decay},{batch_size}");
            let _ = match self.image_sizes.as_ref().and_then(|sides| sides.get(i)) {
                Some(side) => writeln!(out, ",{side}"),
                None => writeln!(out),
            };
        }
        out
    }

    /// `{"steps": N, "lr": [...], "momentum": [...], "weight_decay": [...], "batch_size": [...],
    /// "image_size": [...], "phases": [...]}`; a list is `null` if the policy does not set the
    /// hyper-parameter. Image sizes are the shorter side in pixels.
    ///
    /// # Errors
    /// [`FileError::ToJson`].
    pub fn json(&self) -> Result<String, FileError> {
        let sizes = self.tracks.batch_size.as_ref();
        let json = Json {
            steps: self.tracks.lr.len(),
            lr: &self.tracks.lr,
            momentum: self.tracks.momentum.as_deref(),
            weight_decay: self.tracks.weight_decay.as_deref(),
            batch_size: sizes.map(|sizes| sizes.iter().map(|size| *size as u64).collect()),
            image_size: self.image_sizes.as_deref(),
            phases: &self.phases,
        };
        serde_json::to_string(&json).map_err(FileError::to_json("the plan"))
    }

    /// Learning rate and momentum over the steps; see [`figures::schedule`].
    #[must_use]
    pub fn figure(&self) -> Figure {
        figures::schedule(&self.tracks)
    }

    /// Weight decay and batch size over the steps, if one varies; see [`figures::other_tracks`].
    #[must_use]
    pub fn other_figure(&self) -> Option<Figure> {
        figures::other_tracks(&self.tracks)
    }

    /// Learning rate and momentum as text of at most `width` columns and `height` lines, one panel
    /// above the other, for a terminal or a log. The width is at least 24, and the height at least
    /// two lines per panel.
    #[must_use]
    pub fn terminal(&self, width: usize, height: usize, charset: Charset) -> String {
        let mut panels = vec![("learning rate", self.tracks.lr.as_slice())];
        panels.extend(
            self.tracks
                .momentum
                .as_deref()
                .map(|momentum| ("momentum", momentum)),
        );
        let below = XLabels::steps(self.tracks.lr.len());
        terminal::draw(&panels, &below, width, height, charset)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a failed unwrap is a failed test
mod tests {
    use super::*;

    /// Two steps up, two down.
    fn view(momentum: Option<f64>) -> PlanView {
        let values = |lr| Hyper {
            lr,
            momentum,
            weight_decay: None,
            batch_size: Some(128),
        };
        let phase = |name: &str, first_step, from, to| PhaseView {
            name: name.to_owned(),
            first_step,
            last_step: first_step + 1,
            from: values(from),
            to: values(to),
        };
        let phases = vec![
            phase("up", 0, 0.1, 0.3),
            phase("annihilation", 2, 0.3, 1e-5),
        ];
        PlanView::from_values([0.1, 0.3, 0.3, 1e-5].into_iter().map(values), phases)
    }

    #[test]
    fn the_table_has_the_hyper_parameters_that_are_set() {
        let wanted = [
            "phase          steps   count               lr   momentum   batch size",
            "up               0–1       2        0.1 → 0.3        0.9          128",
            "annihilation     2–3       2   0.3 → 1.000e-5        0.9          128",
        ];
        assert_eq!(view(Some(0.9)).table().lines().collect::<Vec<_>>(), wanted);
        assert!(!view(None).table().contains("momentum"));
    }

    #[test]
    fn image_sizes_are_in_every_format_if_they_change() {
        let sized = view(None).with_image_sizes(Some(vec![8, 12, 16, 16]));
        let table = sized.table();
        let cells = |line: usize| table.lines().nth(line).unwrap().to_owned();
        assert!(cells(0).ends_with("image size"), "{table}");
        assert!(
            cells(1).ends_with("8 → 12") && cells(2).ends_with(" 16"),
            "{table}"
        );
        let csv = sized.csv();
        let lines: Vec<&str> = csv.lines().collect();
        assert!(lines[0].ends_with(",batch_size,image_size"), "{csv}");
        assert!(lines[2].ends_with(",128,12"), "{csv}");
        let json: serde_json::Value = serde_json::from_str(&sized.json().unwrap()).unwrap();
        assert_eq!(json["image_size"], serde_json::json!([8, 12, 16, 16]));

        let full = view(None);
        assert!(!full.table().contains("image") && !full.csv().contains("image"));
    }

    #[test]
    fn csv_reads_back_to_the_same_bits() {
        let view = view(None);
        let csv = view.csv();
        let mut lines = csv.lines();
        assert_eq!(
            lines.next(),
            Some("step,lr,momentum,weight_decay,batch_size")
        );
        assert_eq!(lines.next(), Some("0,0.1,,,128"));
        let lr: Vec<f64> = csv
            .lines()
            .skip(1)
            .map(|line| line.split(',').nth(1).unwrap().parse().unwrap())
            .collect();
        assert_eq!(lr, view.tracks().lr);
    }

    #[test]
    fn json_has_null_for_unset_hyper_parameters() {
        let json: serde_json::Value = serde_json::from_str(&view(None).json().unwrap()).unwrap();
        assert_eq!(json["steps"], 4);
        assert_eq!(json["lr"], serde_json::json!([0.1, 0.3, 0.3, 1e-5]));
        assert!(json["momentum"].is_null() && json["weight_decay"].is_null());
        assert_eq!(json["batch_size"], serde_json::json!([128, 128, 128, 128]));
        assert_eq!(json["phases"][1]["name"], "annihilation");
        assert_eq!(json["phases"][1]["to"]["lr"], 1e-5);
    }

    #[test]
    fn figures_have_the_phases() {
        let view = view(Some(0.9));
        let figure = view.figure();
        assert_eq!(figure.series.len(), 2);
        assert_eq!(figure.marks, view.marks());
        assert_eq!(
            figure.marks[1],
            Mark {
                x: 2.0,
                label: "annihilation".to_owned()
            }
        );
        assert_eq!(view.other_figure(), None);
    }
}
