use super::ComparisonResult;
use crate::StudyError;
use onecycle_plot::Figure;
use onecycle_train::report::Page;

/// `compare.html`: one page that needs nothing else.
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
    let seeds = compared
        .variants
        .first()
        .map_or(0, |variant| variant.seeds.len());
    page.paragraph(
        "soft",
        &format!(
            "Means over {seeds} seeds, ± half of the 95 % interval by Student's distribution. Gap: validation less training \
             loss of the last epoch. Steps and time to an accuracy: by the end of the first epoch that had it, over the runs \
             that had. A run that diverged counts with the accuracy of guessing."
        ),
    );
    page.heading("figures", "Figures");
    let captioned = figures.iter().map(|(figure, caption)| (figure, *caption));
    page.figures("figures", captioned)?;
    page.heading("settings", "Settings that differ");
    let header: Vec<&str> = ["setting"].into_iter().chain(labels).collect();
    page.table(&header, &compared.setting_rows());
    page.paragraph(
        "soft",
        "All else is the same. Every run has a folder of its own under runs/, with its whole configuration in run.toml. All \
         numbers: compare.json.",
    );
    Ok(page.finish())
}
