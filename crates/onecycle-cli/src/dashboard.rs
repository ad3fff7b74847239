//! The dashboard of a training on a terminal. The main type is [`Dashboard`]; [`view`] arranges what
//! it shows into lines.

mod history;
mod view;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use onecycle::Plan;
use onecycle_plot::terminal::Charset;
use onecycle_train::{
    observer::RunPosition,
    record::{EpochRecord, StepRecord},
};

use crate::screen;
use history::{History, Speed};
use view::{Cycle, View};

/// Time between two drawings while updates are made.
const DRAW_EVERY: Duration = Duration::from_millis(100);
/// Time between two drawings if nothing happens: an update may take seconds.
const TICK: Duration = Duration::from_millis(500);

/// Draws the state of a training, also while nothing happens. It disappears when it is dropped.
pub(crate) struct Dashboard {
    shared: Arc<Mutex<Shown>>,
    /// Ends the thread that draws.
    ticker: Option<(mpsc::Sender<()>, thread::JoinHandle<()>)>,
}

/// What is shown.
struct Shown {
    view: View,
    losses: History,
    speed: Speed,
    drawn: Option<Instant>,
    /// Nothing is drawn any more.
    ended: bool,
}

impl Dashboard {
    /// A dashboard with this title.
    pub(crate) fn new(title: &str) -> Self {
        let shared = Arc::new(Mutex::new(Shown {
            view: View::new(title, charset()),
            losses: History::default(),
            speed: Speed::default(),
            drawn: None,
            ended: false,
        }));
        let (sender, ended) = mpsc::channel();
        let ticking = Arc::clone(&shared);
        let tick = move || {
            while ended.recv_timeout(TICK) == Err(mpsc::RecvTimeoutError::Timeout) {
                lock(&ticking).draw();
            }
        };
        let thread = thread::Builder::new().name("dashboard".to_owned());
        Dashboard {
            shared,
            // Without the thread, only events draw.
            ticker: thread.spawn(tick).ok().map(|handle| (sender, handle)),
        }
    }

    /// A run with this plan begins.
    pub(crate) fn begin(&self, plan: &Plan, epochs: u64) {
        let mut shown = lock(&self.shared);
        shown.losses = History::default();
        shown.speed = Speed::default();
        shown.view.begin(Cycle::of(plan), epochs);
    }

    /// Position in a study.
    pub(crate) fn study(&self, position: &RunPosition<'_>, done: usize) {
        lock(&self.shared).view.study(position, done);
    }

    /// An update was made. `left` is the time left in seconds, if it is known.
    pub(crate) fn step(&self, record: &StepRecord, loss: f64, left: Option<f64>) {
        let mut shown = lock(&self.shared);
        let shown = &mut *shown;
        shown.losses.push(loss);
        shown.speed.add(record.batch_size);
        shown.view.step(record, loss, left);
        if shown
            .drawn
            .is_none_or(|drawn| drawn.elapsed() >= DRAW_EVERY)
        {
            shown.draw();
        }
    }

    /// An epoch was evaluated.
    pub(crate) fn epoch(&self, record: &EpochRecord) {
        let mut shown = lock(&self.shared);
        shown.view.epoch(record);
        shown.draw();
    }

    /// An evaluation has seen `images` of `total` images.
    pub(crate) fn evaluation(&self, images: u64, total: u64) {
        let mut shown = lock(&self.shared);
        shown.view.evaluation(images, total);
        // The next update begins a new measurement.
        shown.speed = Speed::default();
        if shown
            .drawn
            .is_none_or(|drawn| drawn.elapsed() >= DRAW_EVERY)
        {
            shown.draw();
        }
    }

    /// A run of a study has ended with this accuracy (0 to 1), or diverged.
    pub(crate) fn result(&self, label: &str, accuracy: Option<f64>) {
        lock(&self.shared).view.result(label, accuracy);
    }

    /// Removes the dashboard. It does not come back.
    pub(crate) fn finish(&self) {
        lock(&self.shared).ended = true;
        screen::clear();
    }
}

impl Drop for Dashboard {
    fn drop(&mut self) {
        self.finish();
        if let Some((sender, handle)) = self.ticker.take() {
            drop(sender);
            // A panic in it was reported already.
            let _ = handle.join();
        }
    }
}

impl Shown {
    fn draw(&mut self) {
        // Before the first update there is nothing to show.
        if self.ended || !self.view.has_begun() {
            return;
        }
        self.drawn = Some(Instant::now());
        self.view.speed = self.speed.images_per_second().or(self.view.speed);
        self.view.memory = memory();
        let (width, height) = screen::size();
        screen::draw(self.view.lines(self.losses.values(), width, height));
    }
}

fn lock(shown: &Mutex<Shown>) -> MutexGuard<'_, Shown> {
    // A poisoned lock is fine: the value is always consistent.
    shown.lock().unwrap_or_else(PoisonError::into_inner)
}

/// ASCII in the locales `C` and `POSIX`, whose terminals may show nothing else.
fn charset() -> Charset {
    let set = |name: &&str| std::env::var(name).ok().filter(|value| !value.is_empty());
    match ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(set) {
        Some(locale) if locale == "C" || locale == "POSIX" => Charset::Ascii,
        _ => Charset::Braille,
    }
}

/// Resident memory of this process in bytes, if the system reports it in `/proc`.
fn memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}
