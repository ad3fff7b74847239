use std::collections::BTreeSet;

use super::ComparisonResult;
use crate::StudyError;
use onecycle_plot::Figure;
use onecycle_train::report::Page;

/// `compare.html`: one self-contained page.
pub(super) fn html(
    compared: &ComparisonResult,
    figures: &[(Figure, &str)],
) -> Result<String, StudyError> {
    let labels: Vec<&str> = compared
        .variants
        .iter()
        .map(|variant| variant.label.as_str())
        .collect();
    let mut page = Page::new(&format!("Comparison of {}", labels.join(", ")));
    for sentence in compared.sentences() {
        page.paragraph("", &sentence);
    }
    page.heading("results", "Results");
    let header = compared.header();
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    page.table(&header, &compared.rows());
    let seeds: BTreeSet<usize> = compared
        .variants
        .iter()
        .map(|one| one.seeds.len())
        .collect();
    let seeds: Vec<String> = seeds.iter().map(usize::to_string).collect();
    page.paragraph(
        "soft",
        &format!(
            "Mean over {} seeds ± half the width of the 95 % confidence interval (Student's t). \
             Gap: validation loss minus training loss of the last epoch. Steps and time to an accuracy: \
             until the end of the first epoch that reached it, over the runs that did. A diverged run \
             counts with the accuracy of guessing.",
            seeds.join(" or ")
        ),
    );
    page.heading("figures", "Figures");
    let captioned = figures.iter().map(|(figure, caption)| (figure, *caption));
    page.figures("figures", captioned)?;
    if compared.settings.is_empty() {
        return Ok(page.finish());
    }
    page.heading("settings", "Settings that differ");
    let header: Vec<&str> = ["setting"].into_iter().chain(labels).collect();
    page.table(&header, &compared.setting_rows());
    page.paragraph(
        "soft",
        "All other settings are the same. Every run has a folder with its complete configuration in \
         run.toml. All numbers are in compare.json.",
    );
    Ok(page.finish())
}
