//! Tables of text: the head and the cells of a workload, and all of them as Markdown.

use std::fmt::Write as _;

use crate::comparison::{self, Comparison, Row};
use crate::peer::KINDS;
use crate::result::Measured;
use crate::workload::Work;

/// A store whose name bears this does not make durable what it calls durable.
const NOT_DURABLE: &str = " (*)";
pub(crate) const NOT_DURABLE_NOTE: &str = "(*) says that a write is durable before it is.";

impl Comparison<'_> {
    fn is_durable(&self) -> bool {
        matches!(self.workload.work, Work::Durable { .. })
    }

    /// Of a store that is not what it says, where that matters.
    fn mark(&self, row: &Row<'_>) -> &'static str {
        if self.is_durable() && !row.kind.keeps_durable { NOT_DURABLE } else { "" }
    }

    pub(crate) fn head(&self) -> Vec<String> {
        let mut head = vec!["peer".to_owned(), "rounds".to_owned(), "records/s".to_owned()];
        head.extend(self.ours.iter().map(|name| format!("{name} / peer")));
        let rest: &[&str] = match self.workload.work {
            Work::Durable { .. } => &["p50 us", "p99 us", "longest ms"],
            Work::Load { .. } => &[
                "longest ms",
                "worst window / median",
                "sync s",
                "open s",
                "peak MiB",
                "space MiB",
                "written / byte",
            ],
            Work::Reopen => &["open s", "peak MiB", "space MiB"],
            _ => &["p50 us", "p99 us", "longest ms", "peak MiB"],
        };
        head.extend(rest.iter().map(|&name| name.to_owned()));
        head
    }

    pub(crate) fn cells(&self, row: &Row<'_>) -> Vec<String> {
        let name = format!("{}{}", row.kind.name, self.mark(row));
        let mut cells = vec![name, row.rounds.len().to_string()];
        if row.rounds.is_empty() {
            let failure = row.failure.unwrap_or_default();
            cells.push(format!("failed: {failure}"));
            return cells;
        }
        cells.push(grouped(row.rate()));
        let ratio =
            |ratio: &Option<f64>| ratio.map_or("".to_owned(), |ratio| format!("{ratio:.2}"));
        cells.extend(row.ratios.iter().map(ratio));
        let micros = |figure: fn(&Measured) -> f64| format!("{:.1}", row.median(figure));
        let longest = format!("{:.1}", row.median(|round| round.longest_us / 1e3));
        let mib = |figure: fn(&Measured) -> u64| {
            format!("{:.0}", row.median(|round| figure(round) as f64) / (1 << 20) as f64)
        };
        let seconds = |figure: fn(&Measured) -> Option<f64>| {
            format!("{:.2}", row.median(|round| figure(round).unwrap_or_default()))
        };
        let latencies = [micros(|round| round.p50_us), micros(|round| round.p99_us)];
        match self.workload.work {
            Work::Durable { .. } => cells.extend(latencies.into_iter().chain([longest])),
            Work::Load { .. } => cells.extend([
                longest,
                format!("{:.2}", row.median(worst_window)),
                seconds(|round| round.sync_seconds),
                seconds(|round| round.open_seconds),
                mib(|round| round.peak_anonymous_bytes),
                mib(|round| round.space_bytes),
                format!("{:.1}", row.median(written_per_byte)),
            ]),
            Work::Reopen => cells.extend([
                format!("{:.3}", row.median(|round| round.open_seconds.unwrap_or_default())),
                mib(|round| round.peak_anonymous_bytes),
                mib(|round| round.space_bytes),
            ]),
            _ => {
                cells.extend(latencies.into_iter().chain([longest]));
                cells.push(mib(|round| round.peak_anonymous_bytes));
            }
        }
        cells
    }
}

/// The worst whole window by the median one; 1 where there is none.
fn worst_window(round: &Measured) -> f64 {
    let median = mainstay_cli::bench::workload::median(&round.windows);
    let worst = round.windows.iter().copied().min_by(f64::total_cmp);
    worst.zip(median).map_or(1.0, |(worst, median)| worst / median.max(1e-9))
}

fn written_per_byte(round: &Measured) -> f64 {
    round.written_bytes as f64 / (round.user_bytes.max(1)) as f64
}

/// A whole number in groups of three digits.
pub(crate) fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// All stores beside each other: records per second, one line a workload.
fn overview(comparisons: &[Comparison<'_>]) -> Vec<Vec<String>> {
    let took_part = |name: &str| {
        let mut rows = comparisons.iter().flat_map(|comparison| &comparison.rows);
        rows.any(|row| row.kind.name == name)
    };
    let names: Vec<_> = KINDS.iter().map(|kind| kind.name).filter(|name| took_part(name)).collect();
    let rate = |comparison: &Comparison<'_>, name: &str| {
        let row = comparison.rows.iter().find(|row| row.kind.name == name);
        match row {
            Some(row) if !row.rounds.is_empty() => {
                format!("{}{}", grouped(row.rate()), comparison.mark(row))
            }
            Some(_) => "failed".to_owned(),
            None => String::new(),
        }
    };
    let mut lines = vec![vec!["records/s".to_owned()]];
    lines[0].extend(names.iter().map(|&name| name.to_owned()));
    for comparison in comparisons {
        let mut line = vec![format!("`{}`", comparison.workload.name)];
        line.extend(names.iter().map(|name| rate(comparison, name)));
        lines.push(line);
    }
    lines
}

/// All workloads: an overview, and one table each.
pub(crate) fn markdown(results: &[Measured]) -> String {
    let mut text = String::new();
    let mut add = |line: String| writeln!(text, "{line}").unwrap_or_default();
    let comparisons = comparison::all(results);
    for (number, line) in overview(&comparisons).into_iter().enumerate() {
        add(format!("| {} |", line.join(" | ")));
        if number == 0 {
            add(format!("|---|{}", "---:|".repeat(line.len() - 1)));
        }
    }
    for comparison in comparisons {
        let (workload, head) = (comparison.workload, comparison.head());
        add(format!("\n### {} (`{}`)\n", workload.title, workload.name));
        add(format!("| {} |", head.join(" | ")));
        add(format!("|---|{}", "---:|".repeat(head.len() - 1)));
        for row in &comparison.rows {
            add(format!("| {} |", comparison.cells(row).join(" | ")));
        }
        let marked = comparison.rows.iter().any(|row| !row.kind.keeps_durable);
        if comparison.is_durable() && marked {
            add(format!("\n{NOT_DURABLE_NOTE}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        let all = [0.4, 999.0, 1000.0, 123_456.0, 1_234_567.8].map(grouped);
        assert_eq!(all, ["0", "999", "1,000", "123,456", "1,234,568"]);
    }

    #[test]
    fn a_store_that_lies_is_marked_where_it_matters() {
        let measured = |workload: &str, peer: &str| Measured {
            workload: workload.to_owned(),
            peer: peer.to_owned(),
            round: 1,
            records_per_second: 1234.0,
            ..Measured::default()
        };
        let results = [
            measured("durable-1", "sled"),
            measured("durable-1", "redb"),
            measured("read-uniform-1", "sled"),
        ];
        let text = markdown(&results);
        assert!(text.contains("| sled (*) | 1 | 1,234 |"), "{text}");
        assert!(text.contains("| redb | 1 | 1,234 |"), "{text}");
        assert!(text.contains("| `durable-1` | 1,234 (*) | 1,234 |"), "{text}");
        assert!(text.contains("| `read-uniform-1` | 1,234 |  |"), "{text}");
        assert!(text.contains("| sled | 1 | 1,234 |"), "{text}");
        assert_eq!(text.matches(NOT_DURABLE_NOTE).count(), 1);
    }
}
