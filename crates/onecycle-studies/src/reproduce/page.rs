use std::path::Path;

use super::{Claim, ClaimVerdict, ExperimentReport, ExperimentResult, Protocol};
use crate::{StudyError, study::VariantSummary};
use onecycle_plot::{
    escape_xml as escape,
    format::{duration, percent, significant},
};
use onecycle_train::{FileError, files, report::Page};

/// Writes `NAME/result.json` and `NAME/index.html`.
pub(super) fn write_one(
    folder: &Path,
    (protocol, own): (&Protocol, &Protocol),
    report: &ExperimentReport,
) -> Result<(), StudyError> {
    let home = folder.join(&report.result.name);
    files::create_folder(&home)?;
    files::write_whole(&home.join("result.json"), &json(&report.result)?)?;
    let mut page = Page::new(&report.result.title);
    page.paragraph("soft", &setup(protocol, own.budget.seeds));
    section(&mut page, "figures", report)?;
    page.heading("repeat", "How to repeat it");
    page.code(&command(&report.result.name, protocol));
    Ok(files::write_whole(
        &home.join("index.html"),
        page.finish().as_bytes(),
    )?)
}

/// Writes `reproduce.json` and `reproduce.html`: all experiments on one page.
pub(super) fn write_all(
    folder: &Path,
    protocol: &Protocol,
    all: &[ExperimentReport],
) -> Result<(), StudyError> {
    let results: Vec<&ExperimentResult> = all.iter().map(|report| &report.result).collect();
    files::write_whole(&folder.join("reproduce.json"), &json(&results)?)?;

    let mut page = Page::new("Reproduction of the 1cycle literature");
    page.paragraph("soft", &setup(protocol, protocol.budget.seeds));
    page.heading("claims", "Claims");
    let mut rows = Vec::new();
    for report in all {
        let name = escape(&report.result.name);
        for claim in &report.result.claims {
            let mut row = vec![format!("<a href=\"#{name}\">{name}</a>")];
            row.extend(cells(claim));
            rows.push(row);
        }
    }
    page.table_of_sentences(&["experiment", "claim", "published", "ours", "seen"], &rows);
    page.paragraph("soft", LEGEND);
    for report in all {
        let result = &report.result;
        page.heading(&result.name, &format!("{}: {}", result.name, result.title));
        section(&mut page, &format!("{}/figures", result.name), report)?;
    }
    page.heading("repeat", "How to repeat it");
    page.code(&command("all", protocol));
    Ok(files::write_whole(
        &folder.join("reproduce.html"),
        page.finish().as_bytes(),
    )?)
}

const LEGEND: &str = "Numbers in brackets are 95 % confidence intervals over the seeds (Student's t). \
    Differences are paired by seed if the variants have the same seeds. Seen: the whole interval lies on the claimed side. Not seen here: \
    the whole interval lies on the other side. Not decided: the interval contains both sides, or there \
    is only one seed. Needs --scale cpu or paper: only longer runs can decide it.";

/// One experiment: notes, claims, variants, figures.
fn section(page: &mut Page, folder: &str, report: &ExperimentReport) -> Result<(), StudyError> {
    let result = &report.result;
    page.paragraph("soft", &format!("{}.", result.setup));
    for note in &result.notes {
        page.paragraph("", note);
    }
    let rows: Vec<Vec<String>> = result.claims.iter().map(cells).collect();
    page.table_of_sentences(&["claim", "published", "ours", "seen"], &rows);
    if !result.variants.is_empty() {
        let rows: Vec<Vec<String>> = result.variants.iter().map(variant).collect();
        let header = [
            "variant",
            "final accuracy",
            "best accuracy",
            "gap",
            "steps",
            "time per run",
        ];
        page.table(&header, &rows);
    }
    let figures = report.figures.iter();
    Ok(page.figures(
        folder,
        figures.map(|(figure, caption)| (figure, caption.as_str())),
    )?)
}

/// Claim, published numbers, our numbers and verdict as HTML.
fn cells(claim: &Claim) -> Vec<String> {
    let class = match claim.verdict {
        ClaimVerdict::Seen => "seen",
        ClaimVerdict::NotSeenHere => "not-seen",
        ClaimVerdict::NotDecided | ClaimVerdict::NeedsCpu | ClaimVerdict::NeedsPaper => "open",
    };
    vec![
        format!(
            "{}<br><small>{}</small>",
            escape(&claim.text),
            escape(&claim.source)
        ),
        escape(&claim.published),
        escape(&claim.ours),
        format!(
            "<span class=\"verdict {class}\">{}</span>",
            claim.verdict.words()
        ),
    ]
}

fn variant(variant: &VariantSummary) -> Vec<String> {
    let with = |estimate: &onecycle_stats::SampleMean| match estimate.half_width {
        None => percent(estimate.mean),
        Some(half) => format!("{:.2} ± {:.2} %", 100.0 * estimate.mean, 100.0 * half),
    };
    let label = match variant.diverged {
        0 => variant.label.clone(),
        n => format!(
            "{} ({n} of {} diverged)",
            variant.label,
            variant.seeds.len()
        ),
    };
    let gap = variant.generalisation_gap;
    vec![
        label,
        with(&variant.final_accuracy),
        with(&variant.best_accuracy),
        gap.map_or("–".to_owned(), |gap| significant(gap.mean)),
        variant.steps.to_string(),
        duration(variant.seconds.mean),
    ]
}

/// The scale and the number of seeds in words.
fn setup(protocol: &Protocol, seeds: usize) -> String {
    let preset = protocol.size.budget();
    let changed = match protocol.budget.equals_but_for_seeds(&preset) {
        true => "",
        false => ", with a changed budget",
    };
    let seeds = match seeds {
        1 => "one seed".to_owned(),
        seeds => format!("{seeds} seeds"),
    };
    format!(
        "Scale {}{changed}, {seeds}, onecycle {}.",
        protocol.size.name(),
        env!("CARGO_PKG_VERSION")
    )
}

/// The command that repeats these results.
fn command(name: &str, protocol: &Protocol) -> String {
    let preset = protocol.size.budget();
    let seeds = match protocol.budget.seeds == preset.seeds {
        true => String::new(),
        false => format!(" --seeds {}", protocol.budget.seeds),
    };
    format!(
        "onecycle reproduce {name} --scale {}{seeds}{}",
        protocol.size.name(),
        protocol.budget.flags_over(&preset)
    )
}

fn json(value: &impl serde::Serialize) -> Result<Vec<u8>, StudyError> {
    Ok(
        serde_json::to_vec_pretty(value).map_err(|source| FileError::ToJson {
            what: "the result".to_owned(),
            source,
        })?,
    )
}
