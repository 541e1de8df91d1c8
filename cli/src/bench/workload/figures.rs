//! How long calls took, and how even the work went on.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// Calls that take longer than this are counted as taking this long; the longest one is exact.
const LONGEST: Duration = Duration::from_secs(600);
/// Latencies are exact to so many digits: to one in a hundred. More would cost memory in each of
/// many threads.
const DIGITS: u8 = 2;
/// What happens later than after so many windows is counted in the last one.
const MOST_WINDOWS: usize = 1 << 16;

/// The record of one thread: how long each call took, and how much was done in each window of time.
#[derive(Clone, Debug)]
pub struct Recorder {
    figures: Figures,
    started: Instant,
    last: Instant,
}

impl Recorder {
    /// A record that begins at `started`, which all threads of a run have in common, as they have
    /// the length of a window.
    #[must_use]
    pub fn new(started: Instant, window: Duration) -> Recorder {
        Recorder { figures: Figures::new(window), started, last: started }
    }

    /// What comes now is measured: the next call begins here and not at the end of the last one.
    pub fn begin(&mut self) {
        self.last = Instant::now();
    }

    /// Notes that a call has ended which began at the end of the one before, with so many records.
    /// Gives the time.
    pub fn record(&mut self, records: u64) -> Instant {
        let now = Instant::now();
        self.record_between(self.last, now, records);
        now
    }

    /// Notes a call that began and ended at these times: for calls that overlap.
    pub fn record_between(&mut self, began: Instant, ended: Instant, records: u64) {
        let (window, figures) = (self.figures.window, &mut self.figures);
        figures.note(ended.saturating_duration_since(began));
        figures.records += records;
        let since = ended.saturating_duration_since(self.started);
        let index = (since.as_nanos() / window.as_nanos()).min(MOST_WINDOWS as u128 - 1);
        let index = index as usize;
        if figures.windows.len() <= index {
            figures.windows.resize(index + 1, 0);
        }
        figures.windows[index] += records;
        self.last = ended;
    }

    /// The figures, up to the last call.
    #[must_use]
    pub fn finish(self) -> Figures {
        let elapsed = self.last.saturating_duration_since(self.started);
        Figures { elapsed, ..self.figures }
    }
}

/// What one or more threads did.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Nanoseconds of each call.
    histogram: Histogram<u64>,
    longest: Duration,
    records: u64,
    elapsed: Duration,
    window: Duration,
    /// Records of each window, from the start.
    windows: Vec<u64>,
}

/// How even the work went on.
#[derive(Copy, Clone, Debug, Default, PartialEq)]
pub struct Stalls {
    /// How many whole windows there were.
    pub windows: usize,
    /// Records per second in the median window.
    pub median: f64,
    /// Records per second in the worst window.
    pub least: f64,
    /// How many windows stayed below half of the median.
    pub stalled: usize,
}

impl Figures {
    /// Of nothing.
    #[must_use]
    pub fn new(window: Duration) -> Figures {
        let longest = u64::try_from(LONGEST.as_nanos()).unwrap_or(u64::MAX);
        let histogram = match Histogram::new_with_bounds(1, longest, DIGITS) {
            Ok(histogram) => histogram,
            Err(error) => unreachable!("bounds of a histogram: {error}"),
        };
        Figures {
            histogram,
            longest: Duration::ZERO,
            records: 0,
            elapsed: Duration::ZERO,
            window: window.max(Duration::from_millis(1)),
            windows: Vec::new(),
        }
    }

    fn note(&mut self, took: Duration) {
        self.longest = self.longest.max(took);
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.histogram.saturating_record(nanos.max(1));
    }

    /// Adds what another thread did in the same time.
    pub fn merge(&mut self, other: &Figures) {
        self.add_calls(other);
        self.elapsed = self.elapsed.max(other.elapsed);
        if self.windows.len() < other.windows.len() {
            self.windows.resize(other.windows.len(), 0);
        }
        for (own, theirs) in self.windows.iter_mut().zip(&other.windows) {
            *own += theirs;
        }
    }

    /// Adds what was done at another time, such as in the next round. A window that was cut off by
    /// the end is left out of both.
    pub fn append(&mut self, other: &Figures) {
        self.windows.truncate(self.whole_windows());
        self.windows.extend(&other.windows[..other.whole_windows()]);
        self.add_calls(other);
        self.elapsed += other.elapsed;
    }

    fn add_calls(&mut self, other: &Figures) {
        if let Err(error) = self.histogram.add(&other.histogram) {
            unreachable!("histograms of the same bounds: {error}");
        }
        self.longest = self.longest.max(other.longest);
        self.records += other.records;
    }

    /// The work took so long in all: for what is done after the last call and counts, such as a
    /// sync.
    pub fn extend_to(&mut self, elapsed: Duration) {
        self.elapsed = self.elapsed.max(elapsed);
    }

    /// Calls.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.histogram.len()
    }

    /// Records of all calls.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.records
    }

    /// From the start to the end.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// Records per second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.records as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// The latency that this share of the calls (0.99 for p99) did not exceed, to one in a hundred.
    #[must_use]
    pub fn latency(&self, share: f64) -> Duration {
        Duration::from_nanos(self.histogram.value_at_quantile(share)).min(self.longest)
    }

    /// The longest call.
    #[must_use]
    pub fn longest(&self) -> Duration {
        self.longest
    }

    /// The length of a window.
    #[must_use]
    pub fn window(&self) -> Duration {
        self.window
    }

    /// Records per second of each whole window, in order.
    #[must_use]
    pub fn window_rates(&self) -> Vec<f64> {
        let seconds = self.window.as_secs_f64();
        let whole = self.windows.iter().take(self.whole_windows());
        whole.map(|records| *records as f64 / seconds).collect()
    }

    /// How even the work went on.
    #[must_use]
    pub fn stalls(&self) -> Stalls {
        let rates = self.window_rates();
        let median = super::median(&rates).unwrap_or_default();
        Stalls {
            windows: rates.len(),
            median,
            least: rates.iter().copied().min_by(f64::total_cmp).unwrap_or_default(),
            stalled: rates.iter().filter(|rate| **rate < median / 2.0).count(),
        }
    }

    /// The last window is cut off by the end.
    fn whole_windows(&self) -> usize {
        let whole = self.elapsed.as_nanos() / self.window.as_nanos();
        usize::try_from(whole).unwrap_or(usize::MAX).min(self.windows.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_millis(100);

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// Calls that end at these milliseconds, of so many records.
    fn recorded(started: Instant, calls: &[(u64, u64)]) -> Figures {
        let mut recorder = Recorder::new(started, WINDOW);
        for (at, records) in calls {
            recorder.record_between(recorder.last, started + millis(*at), *records);
        }
        recorder.finish()
    }

    #[test]
    fn latencies_and_rates() {
        let started = Instant::now();
        let calls: Vec<_> = (1..=100).map(|call| (call * call, 2)).collect();
        let figures = recorded(started, &calls);
        assert_eq!((figures.operations(), figures.records()), (100, 200));
        assert_eq!((figures.elapsed(), figures.longest()), (millis(10_000), millis(199)));
        assert!((figures.rate() - 20.0).abs() < 1e-9);
        let p50 = figures.latency(0.5).as_secs_f64();
        assert!((p50 - 0.099).abs() < 0.002, "{p50}");
        assert!(figures.latency(1.0) <= figures.longest());
    }

    #[test]
    fn a_window_in_which_little_happens_is_a_stall() {
        let started = Instant::now();
        let one = recorded(started, &[(50, 10), (150, 10), (250, 1), (350, 10), (450, 10)]);
        let stalls = one.stalls();
        // The fifth window has not ended.
        let expected = Stalls { windows: 4, median: 100.0, least: 10.0, stalled: 1 };
        assert_eq!(stalls, expected);
        let mut both = one.clone();
        both.merge(&recorded(started, &[(50, 10), (250, 9), (500, 10)]));
        assert_eq!(both.window_rates(), [200.0, 100.0, 100.0, 100.0, 100.0]);
        assert_eq!((both.records(), both.elapsed()), (70, millis(500)));
        let mut in_a_row = one.clone();
        in_a_row.append(&one);
        assert_eq!(in_a_row.elapsed(), millis(900));
        assert_eq!(in_a_row.stalls().windows, 8);
        assert_eq!(in_a_row.stalls().stalled, 2);
    }

    #[test]
    fn a_window_without_any_call_is_a_stall_too() {
        let figures = recorded(Instant::now(), &[(50, 10), (150, 10), (450, 10), (550, 10)]);
        let stalls = figures.stalls();
        assert_eq!((stalls.windows, stalls.least, stalls.stalled), (5, 0.0, 2));
    }
}
