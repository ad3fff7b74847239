//! Bengio et al.: easy examples first, against and together with one cycle.

use std::path::Path;

use onecycle::Constant;

use super::{
    Claim, Protocol, Published, Reproduction, Results,
    baseline::{CONSTANT_RATE, ONE_CYCLE, one_cycle, one_cycle_policy},
};
use crate::{
    StudyError,
    study::{Variant, XAxis},
};
use onecycle_train::{Config, config::CurriculumConfig};

const PAPER: &str = "Bengio et al., \"Curriculum learning\" (2009), section 4";
/// Fraction of the run after which epochs draw from all images.
const UNTIL: f64 = 0.5;

/// `curriculum`.
pub(super) struct CurriculumFirst;

impl CurriculumFirst {
    fn easy_first(protocol: &Protocol, mut config: Config) -> Config {
        config.data.curriculum = Some(CurriculumConfig {
            start: 0.25,
            epochs: UNTIL * protocol.budget.epochs,
            scoring_epochs: 1,
            scoring_lr: CONSTANT_RATE * protocol.budget.lr_max,
        });
        config
    }
}

impl Reproduction for CurriculumFirst {
    fn name(&self) -> &'static str {
        "curriculum"
    }

    fn title(&self) -> &'static str {
        "Easy examples first, against and together with one cycle"
    }

    fn notes(&self, _: &Protocol) -> Vec<String> {
        vec!["The difficulty of an image is its loss under the same network after one separate epoch of \
              training. The first epoch draws from the easiest quarter of the images; from the middle of \
              the run on, epochs draw from all images. The cost of the scoring epoch is not counted."
            .to_owned()]
    }

    fn variants(&self, protocol: &Protocol) -> Result<Vec<(String, Config)>, StudyError> {
        let constant = protocol.config(Constant::new(CONSTANT_RATE * protocol.budget.lr_max));
        let cycle = protocol.config(one_cycle_policy(&protocol.budget));
        Ok(vec![
            one_cycle(protocol)?,
            (
                "one-cycle-easy-first".to_owned(),
                CurriculumFirst::easy_first(protocol, cycle),
            ),
            ("constant".to_owned(), constant.clone()),
            (
                "constant-easy-first".to_owned(),
                CurriculumFirst::easy_first(protocol, constant),
            ),
        ])
    }

    fn claims(
        &self,
        _: &Protocol,
        _: &Path,
        results: &[Variant],
    ) -> Result<Vec<Claim>, StudyError> {
        let results = Results(results.to_vec());
        let claim = |text| Published {
            text,
            source: PAPER,
            numbers: "figure on other tasks (shapes, language)",
        };
        let easy = results.get("constant-easy-first")?;
        Ok(vec![
            claim("At a constant rate, easy examples first end more accurate than a random order")
                .more_accurate(easy, results.get("constant")?, 0.0),
            claim("Easy examples first make one cycle more accurate")
                .more_accurate(results.get("one-cycle-easy-first")?, results.get(ONE_CYCLE)?, 0.0),
            claim("Easy examples first at a constant rate are as accurate as one cycle (at most 1 point less)")
                .more_accurate(easy, results.get(ONE_CYCLE)?, 0.01),
        ])
    }

    fn x_axis(&self) -> XAxis {
        XAxis::Steps
    }
}
