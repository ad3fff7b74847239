//! Every rule of the range test applied to a recorded curve: [`Suggestions`], as `onecycle suggest`
//! prints them.

use std::collections::BTreeMap;

use onecycle::range_test::{LossCurve, Rule, Suggestion, Verdict};
use serde::{Deserialize, Serialize};

use onecycle_plot::{format::significant, table::align};

/// Suggestions of all rules for one curve. Other programs rely on its JSON form.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Suggestions {
    /// Verdict on the curve for the maximum of one cycle.
    pub verdict: Verdict,
    /// The largest learning rate that can be the peak of one cycle.
    pub one_cycle_max: Option<f64>,
    /// A good constant learning rate.
    pub constant: Option<f64>,
    /// The rules of other tools by name, each applied as in the original.
    pub rules: BTreeMap<Rule, Suggestion>,
}

impl Suggestions {
    /// Applies every rule.
    pub fn of(curve: &LossCurve) -> Self {
        let max = Rule::OneCycleMax.apply(curve);
        Suggestions {
            verdict: max.verdict,
            one_cycle_max: max.lr,
            constant: Rule::Constant.apply(curve).lr,
            rules: Rule::of_originals()
                .map(|rule| (rule, rule.apply(curve)))
                .collect(),
        }
    }

    /// A table with one line per rule.
    pub fn table(&self) -> String {
        let row = |name: &str, lr: Option<f64>, verdict: Verdict| {
            let lr = lr.map_or_else(|| "–".to_owned(), significant);
            vec![name.to_owned(), lr, verdict.to_string()]
        };
        let constant = self.constant.map_or(self.verdict, |_| Verdict::Ok);
        let mut rows = vec![
            vec!["rule".to_owned(), "lr".to_owned(), "verdict".to_owned()],
            row(Rule::OneCycleMax.name(), self.one_cycle_max, self.verdict),
            row(Rule::Constant.name(), self.constant, constant),
        ];
        let originals = self.rules.iter();
        rows.extend(originals.map(|(rule, answer)| row(rule.name(), answer.lr, answer.verdict)));
        align(&rows)
    }
}
