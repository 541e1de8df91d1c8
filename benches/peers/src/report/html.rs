//! The report: one page that needs nothing else.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::{plots, table};
use crate::comparison::{self, Comparison};
use crate::peer::{KINDS, Result};
use crate::result::Measured;
use crate::workload::Work;

const STYLE: &str = "
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; \
color: #222; }
h2 { margin-top: 2.5em; font-size: 1.15em; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; display: block; \
overflow-x: auto; }
th, td { padding: .2em .7em; text-align: right; border-bottom: 1px solid #ddd; }
th:first-child, td:first-child { text-align: left; }
.words td { text-align: left; vertical-align: top; }
.ours td { background: #eef2fb; font-weight: 600; }
svg { max-width: 100%; height: auto; }
.note { color: #555; }
";

/// All of it.
pub(crate) fn page(results: &[Measured]) -> Result<String> {
    let mut page = String::new();
    writeln!(page, "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">")?;
    writeln!(page, "<title>mainstay beside other stores</title>\n<style>{STYLE}</style>")?;
    writeln!(page, "<h1>mainstay beside other stores</h1>")?;
    page += &machines(results)?;
    page += &stores(results)?;
    for comparison in comparison::all(results) {
        page += &section(&comparison)?;
    }
    writeln!(page, "</html>")?;
    Ok(page)
}

/// Where it was measured, and how.
fn machines(results: &[Measured]) -> Result<String> {
    let mut text = String::new();
    let told: BTreeSet<String> = results
        .iter()
        .map(|result| {
            let (machine, settings) = (&result.machine, &result.settings);
            let gib = machine.memory_bytes as f64 / (1u64 << 30) as f64;
            format!(
                "{}, {} cores, {gib:.0} GiB of memory, Linux {}, {} on {}; mainstay at commit {}; \
                 {} MiB of memory for each store",
                machine.processor,
                machine.cores,
                machine.kernel,
                machine.file_system,
                machine.device,
                machine.commit,
                settings.memory_bytes >> 20
            )
        })
        .collect();
    for machine in told {
        writeln!(text, "<p>{}.</p>", escaped(&machine))?;
    }
    writeln!(
        text,
        "<p class=\"note\">Stores take turns, round by round, each in a process and a directory of \
         its own. Figures are medians over the rounds; a ratio is the median of the ratios of each \
         round. A dot is a round.</p>"
    )?;
    Ok(text)
}

/// Versions, what durable means, and where the memory goes.
fn stores(results: &[Measured]) -> Result<String> {
    let mut text = String::from("<table class=\"words\"><tr>");
    for name in ["peer", "version", "durable means", "options that the memory goes to"] {
        write!(text, "<th>{name}</th>")?;
    }
    writeln!(text, "</tr>")?;
    for kind in KINDS {
        let Some(result) = results.iter().find(|result| result.peer == kind.name) else { continue };
        let lies = if kind.keeps_durable { "" } else { " <b>Not durable.</b>" };
        writeln!(
            text,
            "<tr><td>{}</td><td>{}</td><td>{}{lies}</td><td>{}</td></tr>",
            kind.name,
            escaped(&result.version),
            escaped(kind.durability),
            escaped(kind.memory)
        )?;
    }
    writeln!(text, "</table>")?;
    Ok(text)
}

fn section(comparison: &Comparison<'_>) -> Result<String> {
    let mut text = String::new();
    writeln!(text, "<h2>{}</h2>", escaped(comparison.workload.title))?;
    writeln!(text, "{}", plots::throughput(comparison)?)?;
    if matches!(comparison.workload.work, Work::Load { .. }) {
        writeln!(text, "{}", plots::windows(comparison)?)?;
    }
    writeln!(text, "<table><tr>")?;
    for name in comparison.head() {
        write!(text, "<th>{}</th>", escaped(&name))?;
    }
    writeln!(text, "</tr>")?;
    for row in &comparison.rows {
        let class = if comparison.ours.contains(&row.kind.name) { " class=\"ours\"" } else { "" };
        write!(text, "<tr{class}>")?;
        for cell in comparison.cells(row) {
            write!(text, "<td>{}</td>", escaped(&cell))?;
        }
        writeln!(text, "</tr>")?;
    }
    writeln!(text, "</table>")?;
    let lies = comparison.rows.iter().any(|row| !row.kind.keeps_durable);
    if lies && matches!(comparison.workload.work, Work::Durable { .. }) {
        writeln!(text, "<p class=\"note\">{}</p>", table::NOT_DURABLE_NOTE)?;
    }
    Ok(text)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_every_store_and_its_plots_and_needs_nothing_else() -> Result<()> {
        let measured = |workload: &str, peer: &str, round| Measured {
            workload: workload.to_owned(),
            peer: peer.to_owned(),
            round,
            records_per_second: 1000.0 * round as f64,
            window_seconds: 0.5,
            windows: vec![900.0, 1100.0, 1000.0],
            ..Measured::default()
        };
        let mut results = Vec::new();
        for round in 1..=3 {
            for peer in ["mainstay", "sled", "fjall"] {
                results.push(measured("durable-16", peer, round));
                results.push(measured("load-uniform-1", peer, round));
            }
        }
        results.push(Measured {
            failure: Some("a < b".to_owned()),
            ..measured("durable-16", "redb", 1)
        });
        let page = page(&results)?;
        assert_eq!(page.matches("<svg").count(), 3);
        assert_eq!(page.matches("</svg>").count(), 3);
        assert_eq!(page.matches("<tr class=\"ours\"><td>mainstay</td><td>3</td>").count(), 2);
        assert!(page.contains("failed: a &lt; b") && page.contains("sled (*)"));
        let outside = ["<script", "<link", "<img", "src="];
        assert!(outside.iter().all(|mark| !page.contains(mark)));
        Ok(())
    }
}
