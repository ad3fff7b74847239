//! Hyper-parameters, for the page HParams.
//!
//! A *session* is a run with its hyper-parameters; its records are in the folder of its scalars. An
//! *experiment* names the hyper-parameters and metrics to show of all sessions, and is in any folder
//! of the log. Sessions of one group are repetitions, such as several seeds, whose metrics are
//! averaged. Field numbers and names are those of TensorBoard's `plugins/hparams/api.proto` and
//! `plugin_data.proto`.

use onecycle_protobuf::Message;

use crate::event::Summary;

/// Name of the plugin.
const PLUGIN: &str = "hparams";

/// Value of a hyper-parameter.
#[derive(Clone, Debug, PartialEq)]
pub enum HParam {
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
    /// Yes or no.
    Bool(bool),
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionStatus {
    /// It reached its end.
    Success = 1,
    /// It ended with an error.
    Failure = 2,
}

/// A metric to show of every session: the last value of a scalar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Tag of the scalar.
    pub tag: &'static str,
    /// Its name on the page.
    pub name: &'static str,
}

/// The hyper-parameters and metrics to show of all sessions.
#[derive(Clone, Debug, PartialEq)]
pub struct Experiment<'a> {
    /// Names of the hyper-parameters with all their values.
    pub hparams: &'a [(String, Vec<HParam>)],
    /// Metrics.
    pub metrics: &'a [Metric],
    /// Begin of the experiment in seconds since 1970.
    pub created: f64,
}

impl Summary {
    /// Adds the begin of a session: names and values of its hyper-parameters, its group (empty for a
    /// group of its own), and its time in seconds since 1970.
    #[must_use]
    pub fn hparams(self, hparams: &[(String, HParam)], group: &str, start: f64) -> Self {
        let mut info = Message::default();
        for (name, value) in hparams {
            let mut entry = Message::default();
            entry.bytes(1, name);
            entry.message(2, value.message());
            info.message(1, entry);
        }
        if !group.is_empty() {
            info.bytes(4, group);
        }
        info.double(5, start);
        self.hparams_data("_hparams_/session_start_info", 3, info)
    }

    /// Adds the end of a session. `end` is in seconds since 1970.
    #[must_use]
    pub fn session_end(self, status: SessionStatus, end: f64) -> Self {
        let mut info = Message::default();
        info.int(1, status as i64);
        info.double(2, end);
        self.hparams_data("_hparams_/session_end_info", 4, info)
    }

    /// Adds an experiment.
    #[must_use]
    pub fn experiment(self, experiment: &Experiment<'_>) -> Self {
        let mut info = Message::default();
        info.double(3, experiment.created);
        for (name, values) in experiment.hparams {
            info.message(4, hparam_info(name, values));
        }
        for metric in experiment.metrics {
            let mut name = Message::default();
            name.bytes(2, metric.tag);
            let mut metric_info = Message::default();
            metric_info.message(1, name);
            metric_info.bytes(3, metric.name);
            info.message(5, metric_info);
        }
        self.hparams_data("_hparams_/experiment", 2, info)
    }

    /// Adds one kind of `HParamsPluginData`, whose `version` is 0 and left out.
    fn hparams_data(self, tag: &str, kind: u64, info: Message) -> Self {
        let mut data = Message::default();
        data.message(kind, info);
        self.plugin(tag, PLUGIN, data)
    }
}

impl HParam {
    /// The `google.protobuf.Value`.
    fn message(&self) -> Message {
        let mut value = Message::default();
        match self {
            HParam::Number(number) => value.double(2, *number),
            HParam::Text(text) => value.bytes(3, text),
            HParam::Bool(is) => value.int(4, i64::from(*is)),
        }
        value
    }
}

/// The `HParamInfo`: values of one type are a list to choose from; mixed ones are texts.
fn hparam_info(name: &str, values: &[HParam]) -> Message {
    let kind = |value: &HParam| match value {
        HParam::Text(_) => 1,
        HParam::Bool(_) => 2,
        HParam::Number(_) => 3,
    };
    let mut info = Message::default();
    info.bytes(1, name);
    let first = values.first().map_or(1, kind);
    if values.iter().all(|value| kind(value) == first) {
        info.int(4, first);
        let mut list = Message::default();
        for value in values {
            list.message(1, value.message());
        }
        info.message(5, list);
    }
    info
}
