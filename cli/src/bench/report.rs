//! A result, for people and for programs.

use std::time::Duration;

use serde_json::{Map, Value as Json, json};

use super::environment::Environment;
use super::workload::{Figures, Pairs};
use crate::output::{Output, Table, grouped, size};

/// A figure with its unit. JSON has the number alone; the unit is in its name.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Figure {
    Count(u64),
    /// Per second.
    Rate(f64),
    /// Bytes.
    Bytes(u64),
    /// Bytes per second.
    BytesRate(f64),
    /// In JSON as microseconds.
    Time(Duration),
    Ratio(f64),
    /// It cannot be told here.
    Unknown,
}

impl Figure {
    fn words(&self) -> String {
        match self {
            Figure::Count(count) => grouped(*count),
            Figure::Rate(rate) => format!("{}/s", grouped(rounded(*rate))),
            Figure::Bytes(bytes) => size(*bytes),
            Figure::BytesRate(rate) => format!("{:.1} MB/s", rate / 1e6),
            Figure::Time(time) => time_words(*time),
            Figure::Ratio(ratio) => format!("{ratio:.2}"),
            Figure::Unknown => "unknown".to_owned(),
        }
    }

    fn json(&self) -> Json {
        match self {
            Figure::Count(number) | Figure::Bytes(number) => json!(number),
            Figure::Rate(rate) | Figure::BytesRate(rate) => json!(rounded(*rate)),
            Figure::Time(time) => json!((time.as_secs_f64() * 1e8).round() / 100.0),
            Figure::Ratio(ratio) => json!((ratio * 1e4).round() / 1e4),
            Figure::Unknown => Json::Null,
        }
    }
}

impl From<Option<Figure>> for Figure {
    fn from(figure: Option<Figure>) -> Figure {
        figure.unwrap_or(Figure::Unknown)
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
fn rounded(rate: f64) -> u64 {
    rate.round() as u64
}

fn time_words(time: Duration) -> String {
    let micros = time.as_secs_f64() * 1e6;
    match micros {
        ..10.0 => format!("{micros:.2} us"),
        ..1e3 => format!("{micros:.0} us"),
        ..1e6 => format!("{:.1} ms", micros / 1e3),
        _ => format!("{:.2} s", micros / 1e6),
    }
}

/// The result of one benchmark.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    benchmark: &'static str,
    settings: Vec<(&'static str, Json)>,
    figures: Vec<(&'static str, &'static str, Figure)>,
    series: Vec<(&'static str, Vec<f64>)>,
}

impl Report {
    pub(crate) fn new(benchmark: &'static str) -> Report {
        Report { benchmark, settings: Vec::new(), figures: Vec::new(), series: Vec::new() }
    }

    /// What was asked for.
    pub(crate) fn setting(&mut self, name: &'static str, value: impl Into<Json>) {
        self.settings.push((name, value.into()));
    }

    /// A figure: its name in JSON, and what people read.
    pub(crate) fn figure(
        &mut self,
        name: &'static str,
        words: &'static str,
        figure: impl Into<Figure>,
    ) {
        self.figures.push((name, words, figure.into()));
    }

    /// Figures for programs alone.
    pub(crate) fn series(&mut self, name: &'static str, values: Vec<f64>) {
        self.series.push((name, values));
    }

    /// Throughput, latencies and stalls.
    pub(crate) fn throughput(&mut self, figures: &Figures) {
        let stalls = figures.stalls();
        self.figure("records", "records", Figure::Count(figures.records()));
        self.figure("elapsed_us", "time", Figure::Time(figures.elapsed()));
        self.figure("records_per_second", "throughput", Figure::Rate(figures.rate()));
        self.figure("calls", "calls", Figure::Count(figures.operations()));
        self.figure("p50_us", "p50 of a call", Figure::Time(figures.latency(0.5)));
        self.figure("p99_us", "p99", Figure::Time(figures.latency(0.99)));
        self.figure("p999_us", "p99.9", Figure::Time(figures.latency(0.999)));
        self.figure("max_us", "longest", Figure::Time(figures.longest()));
        self.setting("window_us", json!(figures.window().as_micros()));
        self.figure("windows", "whole windows", Figure::Count(stalls.windows as u64));
        if stalls.windows > 0 {
            self.figure("median_window", "median window", Figure::Rate(stalls.median));
            self.figure("least_window", "worst window", Figure::Rate(stalls.least));
        }
        self.figure(
            "stalled_windows",
            "windows below half of the median",
            Figure::Count(stalls.stalled as u64),
        );
        self.series("window_rates", figures.window_rates());
    }

    /// What rounds that were run in turn come to.
    pub(crate) fn pairs(&mut self, pairs: &Pairs, words: [&'static str; 2]) {
        self.figure("limit_per_second", words[0], pairs.reference().map(Figure::Rate));
        self.figure("ratio_to_limit", words[1], pairs.ratio().map(Figure::Ratio));
        self.series("ratios", pairs.ratios());
    }

    /// Prints it.
    pub(crate) fn print(
        &self,
        environment: &Environment,
        json: bool,
        output: &mut Output,
    ) -> std::io::Result<()> {
        if json {
            return output.json(&self.json(environment));
        }
        let mut table = Table::facts();
        table.fact("benchmark", self.benchmark);
        let settings = self.settings.iter().map(|(name, value)| match value {
            Json::String(text) => format!("{name} {text}"),
            other => format!("{name} {other}"),
        });
        table.fact("settings", settings.collect::<Vec<_>>().join(", "));
        let machine = format!("{}, {} cores", environment.cpu, environment.cores);
        table.fact("machine", machine);
        table.fact("disk", format!("{} on {}", environment.file_system, environment.device));
        let commit = environment.commit.as_deref().unwrap_or("unknown");
        let slow = if environment.optimised { "" } else { ", built WITHOUT optimisations" };
        table.fact("program", format!("{} at {commit}{slow}", environment.version));
        for (_, words, figure) in &self.figures {
            table.fact(words, figure.words());
        }
        output.table(&table)
    }

    fn json(&self, environment: &Environment) -> Json {
        let settings: Map<_, _> =
            self.settings.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let mut results: Map<_, _> = self
            .figures
            .iter()
            .map(|(name, _, figure)| ((*name).to_owned(), figure.json()))
            .collect();
        for (name, values) in &self.series {
            let values: Vec<_> = values.iter().map(|value| (value * 1e3).round() / 1e3).collect();
            results.insert((*name).to_owned(), json!(values));
        }
        json!({
            "benchmark": self.benchmark,
            "environment": environment.json(),
            "settings": settings,
            "results": results,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_for_people_and_programs() {
        let cases = [
            (Figure::Count(1_234_567), "1,234,567", json!(1_234_567)),
            (Figure::Rate(5000.4), "5,000/s", json!(5000)),
            (Figure::Bytes(1536), "1.5 KiB", json!(1536)),
            (Figure::BytesRate(2_500_000.0), "2.5 MB/s", json!(2_500_000)),
            (Figure::Time(Duration::from_nanos(1234)), "1.23 us", json!(1.23)),
            (Figure::Time(Duration::from_micros(1234)), "1.2 ms", json!(1234.0)),
            (Figure::Time(Duration::from_millis(2500)), "2.50 s", json!(2_500_000.0)),
            (Figure::Ratio(0.954_32), "0.95", json!(0.9543)),
            (Figure::from(None), "unknown", Json::Null),
        ];
        for (figure, words, json) in cases {
            assert_eq!((figure.words().as_str(), figure.json()), (words, json));
        }
    }
}
