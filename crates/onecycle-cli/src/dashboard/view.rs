//! Arranges the dashboard into lines for a terminal of any size.
//!
//! ```text
//! resnet20 on cifar10                                     epoch 12/30  step 4563/11730
//! ██████████████████████████████────────────────────────────────────────────  38 %
//! loss      ⢣⡀                           lr        ⢀⡠⠊⠑⠢⡀
//! 0.6341    ⠀⠑⠒⠤⢄⣀⡀                      0.7214   ⡠⠊     ⠈⠑⠢⣀
//!           ⠀⠀⠀⠀⠀⠀⠈⠉⠉⠒⠒⠒⠤⠤⠤                       ⠊           ⠈⠑⠒⠒⠤⠤
//!           gap +0.0410                  m 0.861         ▲ decay
//! accuracy  ▁▂▄▅▅▆▆▇▇▇█  82.31 %, best 82.31 % in epoch 11
//! 12m10s, 19m left   512 images/s   812 MB
//! ```

use console::{Style, measure_text_width, truncate_str};
use onecycle::Plan;
use onecycle_plot::{
    format::{duration, significant},
    terminal::{Charset, curve, sparkline},
};
use onecycle_train::{
    observer::RunPosition,
    record::{EpochRecord, StepRecord},
};
use std::{collections::BTreeMap, time::Instant};

use crate::output;

/// Widest dashboard in columns; wider ones are hard to read.
const WIDEST: usize = 120;
/// Narrowest terminal for two curves side by side.
const SIDE_BY_SIDE: usize = 60;
/// Columns of the names and values before a curve.
const NAMES: usize = 10;
/// Rows of a curve.
const ROWS: usize = 3;
/// Points at which a plan is evaluated for its curve.
const POINTS: u64 = 240;

/// The learning rate of a plan.
#[derive(Debug, Default)]
pub(super) struct Cycle {
    steps: u64,
    rates: Vec<f64>,
    /// First step and name of each phase.
    phases: Vec<(u64, String)>,
}

impl Cycle {
    pub(super) fn of(plan: &Plan) -> Self {
        let steps = plan.steps();
        let points = POINTS.min(steps);
        let at = |point: u64| point * (steps - 1) / points.saturating_sub(1).max(1);
        let phases = plan.phases();
        Cycle {
            steps,
            rates: (0..points).map(|point| plan.at(at(point)).lr).collect(),
            phases: phases
                .iter()
                .map(|phase| (phase.first_step, phase.name.to_string()))
                .collect(),
        }
    }

    fn phase(&self, step: u64) -> &str {
        let phase = self.phases.iter().rev().find(|(first, _)| *first <= step);
        phase.map_or("", |(_, name)| name)
    }
}

/// Everything that the dashboard shows, except for the loss over the steps.
#[derive(Debug)]
pub(super) struct View {
    title: String,
    charset: Charset,
    begun: Instant,
    cycle: Cycle,
    epochs: u64,
    /// The last update with the smoothed loss after it.
    last: Option<(StepRecord, f64)>,
    /// Epochs with an evaluation, and the accuracy after them.
    accuracies: Vec<(u64, f64)>,
    gap: Option<f64>,
    /// Images evaluated, and their total, during an evaluation.
    evaluated: Option<(u64, u64)>,
    left: Option<f64>,
    /// Position in a study as text, and how many of its runs are finished.
    place: Option<(String, String)>,
    /// Accuracies of the finished runs of a study by label; `None` for a diverged one.
    results: BTreeMap<String, Vec<Option<f64>>>,
    /// Images per second.
    pub(super) speed: Option<f64>,
    /// Resident memory in bytes.
    pub(super) memory: Option<u64>,
}

/// What a piece of a line means. It decides the colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tone {
    Plain,
    Title,
    Faint,
    Loss,
    Rate,
    Accuracy,
}

/// A line in pieces.
#[derive(Clone, Debug, Default)]
struct Line(Vec<(Tone, String)>);

impl View {
    pub(super) fn new(title: &str, charset: Charset) -> Self {
        View {
            title: output::one_line(title),
            charset,
            begun: Instant::now(),
            cycle: Cycle::default(),
            epochs: 0,
            last: None,
            accuracies: Vec::new(),
            gap: None,
            evaluated: None,
            left: None,
            place: None,
            results: BTreeMap::new(),
            speed: None,
            memory: None,
        }
    }

    pub(super) fn has_begun(&self) -> bool {
        self.last.is_some()
    }

    pub(super) fn begin(&mut self, cycle: Cycle, epochs: u64) {
        (self.cycle, self.epochs) = (cycle, epochs);
        (self.last, self.left, self.gap) = (None, None, None);
        self.accuracies.clear();
        self.evaluated = None;
    }

    pub(super) fn study(&mut self, position: &RunPosition<'_>, done: usize) {
        let RunPosition {
            index,
            runs,
            label,
            seed,
            ..
        } = position;
        let left = position.seconds_left.map_or(String::new(), |seconds| {
            format!(", {} left", duration(seconds))
        });
        self.place = Some((
            format!("run {} of {runs}: {label}, seed {seed}", index + 1),
            format!("{done} finished{left}"),
        ));
    }

    pub(super) fn step(&mut self, record: &StepRecord, loss: f64, left: Option<f64>) {
        self.last = Some((record.clone(), loss));
        self.left = left;
        self.evaluated = None;
    }

    pub(super) fn epoch(&mut self, record: &EpochRecord) {
        // A retry repeats epochs.
        self.accuracies.retain(|(epoch, _)| *epoch < record.epoch);
        self.accuracies.push((record.epoch, record.val_accuracy));
        self.gap = Some(record.generalisation_gap);
        self.evaluated = None;
    }

    pub(super) fn evaluation(&mut self, images: u64, total: u64) {
        self.evaluated = Some((images, total));
    }

    pub(super) fn result(&mut self, label: &str, accuracy: Option<f64>) {
        self.results
            .entry(label.to_owned())
            .or_default()
            .push(accuracy);
    }

    /// The lines with their widths for a terminal of `width` x `height`, given the loss over the
    /// steps. The last column and the last row stay free.
    pub(super) fn lines(
        &self,
        losses: &[f64],
        width: usize,
        height: usize,
    ) -> Vec<(String, usize)> {
        let columns = width.saturating_sub(1).min(WIDEST);
        let mut lines = match columns + 1 >= SIDE_BY_SIDE {
            true => self.wide(losses, columns),
            false => self.narrow(losses, columns),
        };
        lines.truncate(height.saturating_sub(1));
        lines.iter().map(|line| line.render(columns)).collect()
    }

    /// Two curves side by side.
    fn wide(&self, losses: &[f64], columns: usize) -> Vec<Line> {
        let mut lines = self.head(columns);
        let panel = (columns - 2 * NAMES - 2) / 2;
        let (record, loss) = match &self.last {
            Some((record, loss)) => (record, *loss),
            None => return lines,
        };
        let momentum = record.momentum.map(|momentum| format!("m {momentum:.3}"));
        let gap = self.gap.map(|gap| format!("gap {gap:+.4}"));
        let left_names = ["loss".to_owned(), format!("{loss:.4}"), String::new()];
        let right_names = [
            "lr".to_owned(),
            significant(record.lr),
            momentum.unwrap_or_default(),
        ];
        let loss_curve = curve(losses, panel, ROWS, self.charset);
        let rate_curve = curve(&self.cycle.rates, panel, ROWS, self.charset);
        let here = self.column(record.step, panel);
        for row in 0..ROWS {
            let (done, to_do) = split(&rate_curve[row], here + 1);
            lines.push(
                Line::default()
                    .add(tone_of(row), format!("{:<NAMES$}", left_names[row]))
                    .add(Tone::Loss, format!("{:<panel$}  ", loss_curve[row]))
                    .add(tone_of(row), format!("{:<NAMES$}", right_names[row]))
                    .add(Tone::Rate, done)
                    .add(Tone::Faint, to_do),
            );
        }
        let marker = self.marker(record.step, here, panel);
        lines.push(
            Line::default()
                .add(
                    Tone::Faint,
                    format!("{:NAMES$}{:<panel$}  ", "", gap.unwrap_or_default()),
                )
                .add(Tone::Rate, format!("{:NAMES$}{marker}", "")),
        );
        lines.push(self.accuracy(columns));
        lines.push(self.foot());
        lines.extend(self.finished());
        lines
    }

    /// One value and one small curve per line.
    fn narrow(&self, losses: &[f64], columns: usize) -> Vec<Line> {
        let mut lines = self.head(columns);
        let (record, loss) = match &self.last {
            Some((record, loss)) => (record, *loss),
            None => return lines,
        };
        let room = columns.saturating_sub(2 * NAMES);
        let named = |name: &str, value: String| {
            Line::default()
                .add(Tone::Faint, format!("{name:<NAMES$}"))
                .add(Tone::Plain, format!("{value:<NAMES$}"))
        };
        let small = |values: &[f64]| sparkline(values, room, self.charset);
        lines.push(named("loss", format!("{loss:.4}")).add(Tone::Loss, small(losses)));
        let (done, to_do) = split(
            &small(&self.cycle.rates),
            self.column(record.step, room) + 1,
        );
        lines.push(
            named("lr", significant(record.lr))
                .add(Tone::Rate, done)
                .add(Tone::Faint, to_do),
        );
        if let Some((_, accuracy)) = self.accuracies.last() {
            let value = format!("{:.2} %", 100.0 * accuracy);
            lines.push(named("accuracy", value).add(Tone::Accuracy, small(&self.accuracies())));
        }
        lines.push(self.foot());
        lines
    }

    /// Title and position, and the bar.
    fn head(&self, columns: usize) -> Vec<Line> {
        let mut lines = Vec::new();
        if let Some((place, finished)) = &self.place {
            lines.push(ends((Tone::Title, place), (Tone::Faint, finished), columns));
        }
        let steps = self.cycle.steps;
        let (epoch, made) = self
            .last
            .as_ref()
            .map_or((0, 0), |(record, _)| (record.epoch + 1, record.step + 1));
        let position = format!(
            "epoch {epoch}/{}  step {made}/{steps}",
            self.epochs.max(epoch)
        );
        let title = match self.place {
            // The first line has the accent.
            Some(_) => (Tone::Plain, self.title.as_str()),
            None => (Tone::Title, self.title.as_str()),
        };
        lines.push(ends(title, (Tone::Plain, &position), columns));
        let percent = format!(" {:>3} %", 100 * made / steps.max(1));
        let room = columns.saturating_sub(percent.len());
        let full = (room as u64 * made / steps.max(1)) as usize;
        let [done, to_do] = match self.charset {
            Charset::Braille => ["█", "─"],
            Charset::Ascii => ["#", "-"],
        };
        lines.push(
            Line::default()
                .add(Tone::Accuracy, done.repeat(full))
                .add(Tone::Faint, to_do.repeat(room - full.min(room)))
                .add(Tone::Plain, percent),
        );
        lines
    }

    /// The accuracies of all evaluations.
    fn accuracies(&self) -> Vec<f64> {
        self.accuracies
            .iter()
            .map(|(_, accuracy)| *accuracy)
            .collect()
    }

    /// The accuracy after each evaluation.
    fn accuracy(&self, columns: usize) -> Line {
        let line = Line::default().add(Tone::Faint, format!("{:<NAMES$}", "accuracy"));
        let best = self.accuracies.iter().copied();
        let best = best.reduce(|best, next| if next.1 > best.1 { next } else { best });
        let (Some((_, last)), Some((epoch, best))) = (self.accuracies.last(), best) else {
            return line.add(Tone::Faint, "after the first evaluation".to_owned());
        };
        let text = format!(
            "  {:.2} %, best {:.2} % in epoch {}",
            100.0 * last,
            100.0 * best,
            epoch + 1
        );
        let room = columns.saturating_sub(NAMES + text.len());
        line.add(
            Tone::Accuracy,
            sparkline(&self.accuracies(), room, self.charset),
        )
        .add(Tone::Plain, text)
    }

    /// Times, speed and memory.
    fn foot(&self) -> Line {
        let mut parts = vec![duration(self.begun.elapsed().as_secs_f64())];
        if let (Some(left), None) = (self.left, &self.place) {
            parts[0].push_str(&format!(", {} left", duration(left)));
        }
        match (self.evaluated, self.speed) {
            (Some((images, total)), _) => parts.push(format!("evaluating {images}/{total}")),
            (None, Some(speed)) => parts.push(format!("{} images/s", speed.round())),
            (None, None) => {}
        }
        if let Some(bytes) = self.memory {
            parts.push(format!("{} MB", bytes / 1_000_000));
        }
        Line::default().add(Tone::Faint, parts.join("   "))
    }

    /// The accuracies of the finished runs of a study.
    fn finished(&self) -> Option<Line> {
        if self.results.is_empty() {
            return None;
        }
        let mut line = Line::default().add(Tone::Faint, format!("{:<NAMES$}", "finished"));
        for (label, results) in &self.results {
            let known: Vec<f64> = results.iter().flatten().copied().collect();
            let mean = match known.is_empty() {
                true => "diverged".to_owned(),
                false => format!(
                    "{:.2} %",
                    100.0 * known.iter().sum::<f64>() / known.len() as f64
                ),
            };
            line = line
                .add(Tone::Plain, format!("{label} {mean}"))
                .add(Tone::Faint, format!(" ({})   ", results.len()));
        }
        Some(line)
    }

    /// The column of a step in a curve over the whole run.
    fn column(&self, step: u64, columns: usize) -> usize {
        let column = columns as u64 * step / self.cycle.steps.max(1);
        (column as usize).min(columns.saturating_sub(1))
    }

    /// A mark below the column `here` with the name of the phase beside it.
    fn marker(&self, step: u64, here: usize, columns: usize) -> String {
        let sign = match self.charset {
            Charset::Braille => "▲",
            Charset::Ascii => "^",
        };
        let phase = self.cycle.phase(step);
        let width = measure_text_width(phase);
        match here + 2 + width <= columns {
            true => format!("{:here$}{sign} {phase}", ""),
            false => {
                let before = here.saturating_sub(width + 1);
                format!("{:before$}{phase} {sign}", "")
            }
        }
    }
}

/// Names are faint, values are not.
fn tone_of(row: usize) -> Tone {
    match row {
        1 => Tone::Plain,
        _ => Tone::Faint,
    }
}

/// A text at each end of a line. If there is no room for both, the left one is cut.
fn ends(left: (Tone, &str), right: (Tone, &str), columns: usize) -> Line {
    let end = measure_text_width(right.1);
    let room = columns.saturating_sub(end + 2);
    if room < 8 {
        // Only one of them fits.
        return Line::default().add(right.0, right.1.to_owned());
    }
    let start = truncate_str(left.1, room, "…").into_owned();
    let blank = columns - end - measure_text_width(&start);
    Line::default()
        .add(left.0, start)
        .add(Tone::Plain, " ".repeat(blank))
        .add(right.0, right.1.to_owned())
}

/// The first `count` characters of a text, and the others.
fn split(text: &str, count: usize) -> (String, String) {
    let at = text
        .char_indices()
        .nth(count)
        .map_or(text.len(), |(at, _)| at);
    let (first, others) = text.split_at(at);
    (first.to_owned(), others.to_owned())
}

impl Line {
    fn add(mut self, tone: Tone, text: String) -> Self {
        self.0.push((tone, text));
        self
    }

    /// The line with colours, unless the terminal or `NO_COLOR` forbids them, and its width. It is
    /// cut after `columns`.
    fn render(&self, columns: usize) -> (String, usize) {
        let (mut text, mut width) = (String::new(), 0);
        // Blanks at the end would count as columns where the terminal ignores them.
        let mut pieces = self.0.clone();
        while let Some((_, last)) = pieces.last_mut() {
            last.truncate(last.trim_end().len());
            if !last.is_empty() {
                break;
            }
            pieces.pop();
        }
        for (tone, piece) in &pieces {
            let piece = truncate_str(piece, columns - width, "");
            width += measure_text_width(&piece);
            let style = match tone {
                Tone::Plain => Style::new(),
                Tone::Title => Style::new().bold(),
                Tone::Faint => Style::new().dim(),
                Tone::Loss => Style::new().yellow(),
                Tone::Rate => Style::new().cyan(),
                Tone::Accuracy => Style::new().green(),
            };
            text.push_str(&style.for_stderr().apply_to(piece).to_string());
        }
        (text, width)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A failed unwrap is a failed test.
mod tests {
    use onecycle::{OneCycle, Run};

    use super::*;

    fn record(step: u64) -> StepRecord {
        StepRecord {
            step,
            epoch: step / 100,
            lr: 0.35,
            momentum: Some(0.9),
            weight_decay: 5e-4,
            batch_size: 128,
            loss: 1.5,
            grad_norm: None,
            image_size: None,
        }
    }

    /// A run of 1000 steps after step 249.
    fn view(charset: Charset) -> View {
        let plan = OneCycle::new(0.8).plan(&Run::steps(1000)).unwrap();
        let mut view = View::new("resnet20 on cifar10", charset);
        view.begin(Cycle::of(&plan), 10);
        view.step(&record(249), 1.4567, Some(90.0));
        view.accuracies = vec![(0, 0.25), (1, 0.5)];
        view.gap = Some(0.1);
        (view.speed, view.memory) = (Some(512.3), Some(800_000_000));
        view
    }

    fn texts(view: &View, width: usize, height: usize) -> Vec<String> {
        let losses: Vec<f64> = (0..250).map(|step| 2.3 - 0.003 * f64::from(step)).collect();
        let lines = view.lines(&losses, width, height);
        let plain = |(line, _): (String, usize)| console::strip_ansi_codes(&line).into_owned();
        lines.into_iter().map(plain).collect()
    }

    #[test]
    fn everything_is_shown_side_by_side() {
        let text = texts(&view(Charset::Ascii), 80, 24).join("\n");
        let wanted = [
            "resnet20 on cifar10",
            "epoch 3/10  step 250/1000",
            " 25 %",
            "1.4567",
            "0.35",
            "m 0.900",
            "gap +0.1000",
            "50.00 %, best 50.00 % in epoch 2",
            "1m30s left",
            "512 images/s",
            "800 MB",
            "^",
        ];
        for part in wanted {
            assert!(text.contains(part), "{part}:\n{text}");
        }
    }

    #[test]
    fn no_line_reaches_the_last_column() {
        for charset in [Charset::Ascii, Charset::Braille] {
            for width in (1..130).chain([200, 500]) {
                for height in [1, 2, 5, 24] {
                    let lines = texts(&view(charset), width, height);
                    assert!(
                        lines.len() < height.max(2),
                        "{} lines of {height}",
                        lines.len()
                    );
                    for line in lines {
                        let columns = measure_text_width(&line);
                        assert!(columns < width.max(1), "{columns} of {width}: {line}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_study_shows_its_position_and_results() {
        let mut view = view(Charset::Braille);
        let position = RunPosition {
            index: 2,
            runs: 6,
            label: "one-cycle",
            seed: 2,
            step: 250,
            steps: 1000,
            seconds_left: Some(3700.0),
        };
        view.study(&position, 2);
        view.result("one-cycle", Some(0.75));
        view.result("constant", None);
        let text = texts(&view, 100, 24).join("\n");
        for part in [
            "run 3 of 6: one-cycle, seed 2",
            "2 finished, 1h01m left",
            "one-cycle 75.00 % (1)",
            "constant diverged (1)",
        ] {
            assert!(text.contains(part), "{part}:\n{text}");
        }
    }

    #[test]
    fn control_characters_of_a_name_do_not_reach_the_terminal() {
        let mut hostile = view(Charset::Braille);
        hostile.title = View::new("\u{1b}[2J\n", Charset::Braille).title;
        let text = texts(&hostile, 80, 24);
        assert!(text[0].starts_with("\\u{1b}[2J\\n"), "{}", text[0]);
    }
}
