//! What all rounds of a workload come to.

use mainstay_cli::bench::workload::{Pairs, median};

use crate::peer::{KINDS, Kind};
use crate::result::Measured;
use crate::workload::{WORKLOADS, Workload};

/// One store in one workload.
pub(crate) struct Row<'a> {
    pub(crate) kind: &'static Kind,
    /// Its rounds that gave figures.
    pub(crate) rounds: Vec<&'a Measured>,
    /// Why others did not, the last time.
    pub(crate) failure: Option<&'a str>,
    /// For each of [`OURS`] that took part: its throughput by this one's, the median of the rounds.
    pub(crate) ratios: Vec<Option<f64>>,
}

/// All stores in one workload.
pub(crate) struct Comparison<'a> {
    pub(crate) workload: &'static Workload,
    pub(crate) ours: Vec<&'static str>,
    pub(crate) rows: Vec<Row<'a>>,
}

/// What the others are compared with.
const OURS: &[&str] = &["mainstay", "mainstay-lsm"];

impl Row<'_> {
    /// The median of a figure.
    pub(crate) fn median(&self, figure: impl Fn(&Measured) -> f64) -> f64 {
        let figures: Vec<f64> = self.rounds.iter().map(|round| figure(round)).collect();
        median(&figures).unwrap_or_default()
    }

    pub(crate) fn rate(&self) -> f64 {
        self.median(|round| round.records_per_second)
    }

    /// The round whose throughput is next to the median.
    pub(crate) fn typical(&self) -> Option<&Measured> {
        let distance = |round: &&&Measured| (round.records_per_second - self.rate()).abs();
        let nearer = |a: &&&Measured, b: &&&Measured| distance(a).total_cmp(&distance(b));
        self.rounds.iter().min_by(nearer).copied()
    }
}

/// The comparisons of all workloads that there are results of, in order.
pub(crate) fn all(results: &[Measured]) -> Vec<Comparison<'_>> {
    let compared = |workload: &'static Workload| {
        let of_it = results.iter().filter(|result| result.workload == workload.name);
        let results: Vec<&Measured> = of_it.collect();
        let took_part = |name: &str| results.iter().any(|result| result.peer == name);
        let ours: Vec<_> = OURS.iter().copied().filter(|name| took_part(name)).collect();
        let kinds = KINDS.iter().filter(|kind| took_part(kind.name));
        let rows: Vec<_> = kinds.map(|kind| row(&results, workload.name, kind, &ours)).collect();
        (!rows.is_empty()).then_some(Comparison { workload, ours, rows })
    };
    WORKLOADS.iter().filter_map(compared).collect()
}

fn row<'a>(
    results: &[&'a Measured],
    workload: &str,
    kind: &'static Kind,
    ours: &[&str],
) -> Row<'a> {
    let of = |peer: &str| {
        let own = results.iter().filter(|result| result.is_of(workload, peer));
        own.copied().collect::<Vec<&'a Measured>>()
    };
    let mut rounds = of(kind.name);
    let failure = rounds.iter().rev().find_map(|round| round.failure.as_deref());
    rounds.retain(|round| round.failure.is_none());
    let ratio = |name: &&str| {
        let mut pairs = Pairs::default();
        for own in of(name).iter().filter(|own| own.failure.is_none()) {
            let theirs = rounds.iter().filter(|theirs| theirs.round == own.round);
            theirs.for_each(|theirs| pairs.add(own.records_per_second, theirs.records_per_second));
        }
        (*name != kind.name).then(|| pairs.ratio()).flatten()
    };
    let ratios = ours.iter().map(ratio).collect();
    Row { kind, rounds, failure, ratios }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(peer: &str, round: u64, rate: f64) -> Measured {
        Measured {
            workload: "durable-1".to_owned(),
            peer: peer.to_owned(),
            round,
            records_per_second: rate,
            ..Measured::default()
        }
    }

    #[test]
    fn rounds_are_paired_by_number_and_failed_ones_left_out() {
        let mut results = vec![
            measured("mainstay", 1, 10.0),
            measured("redb", 1, 5.0),
            measured("redb", 2, 1.0),
            measured("mainstay", 2, 9.0),
            measured("mainstay", 3, 8.0),
            measured("redb", 3, 2.0),
            measured("redb", 4, 100.0),
        ];
        results.push(Measured { failure: Some("full".to_owned()), ..measured("mainstay", 4, 0.0) });
        let all = all(&results);
        let [comparison] = &all[..] else { panic!("{} workloads", all.len()) };
        assert_eq!(comparison.ours, ["mainstay"]);
        let [own, redb] = &comparison.rows[..] else { panic!("{} rows", comparison.rows.len()) };
        assert_eq!((own.kind.name, own.ratios[0], own.failure), ("mainstay", None, Some("full")));
        assert_eq!((own.rounds.len(), own.rate()), (3, 9.0));
        assert_eq!((redb.kind.name, redb.ratios[0]), ("redb", Some(4.0)));
        assert_eq!(redb.rate(), 3.5);
        assert_eq!(redb.typical().map(|round| round.round), Some(1));
    }
}
