//! Comparing things that were measured in turn.

/// The middle one of some figures, or the mean of the two in the middle; nothing of none.
#[must_use]
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    Some(f64::midpoint(sorted[middle - 1], upper))
}

/// Two things that were measured in turn, round by round.
///
/// A machine that is shared is slower at one time than at another, and so are both halves of a
/// pair: the ratio of the halves tells more than each of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pairs {
    /// The figures of each round: that of the thing itself, and what it is compared with.
    pub rounds: Vec<(f64, f64)>,
}

impl Pairs {
    /// Adds a round.
    pub fn add(&mut self, figure: f64, reference: f64) {
        self.rounds.push((figure, reference));
    }

    /// The ratio of each round, where it can be told.
    #[must_use]
    pub fn ratios(&self) -> Vec<f64> {
        let known = self.rounds.iter().filter(|(_, reference)| *reference > 0.0);
        known.map(|(figure, reference)| figure / reference).collect()
    }

    /// The median of the ratios.
    #[must_use]
    pub fn ratio(&self) -> Option<f64> {
        median(&self.ratios())
    }

    /// The median of the first figures.
    #[must_use]
    pub fn figure(&self) -> Option<f64> {
        median(&self.rounds.iter().map(|(figure, _)| *figure).collect::<Vec<_>>())
    }

    /// The median of what they are compared with.
    #[must_use]
    pub fn reference(&self) -> Option<f64> {
        median(&self.rounds.iter().map(|(_, reference)| *reference).collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn the_ratio_is_the_median_of_ratios_and_not_the_ratio_of_medians() {
        let mut pairs = Pairs::default();
        for (figure, reference) in [(1.0, 2.0), (10.0, 10.0), (3.0, 1.0)] {
            pairs.add(figure, reference);
        }
        assert_eq!(pairs.ratio(), Some(1.0));
        assert_eq!((pairs.figure(), pairs.reference()), (Some(3.0), Some(2.0)));
        pairs.add(1.0, 0.0);
        assert_eq!(pairs.ratios().len(), 3);
    }
}
