//! Plots, as pieces of SVG.

use plotters::prelude::*;

use crate::comparison::{Comparison, Row};
use crate::peer::{KINDS, Result};

const WIDTH: u32 = 880;

/// A store has the same colour everywhere; ours are dark.
fn colour(row: &Row<'_>) -> RGBColor {
    match row.kind.name {
        "mainstay" => RGBColor(20, 40, 120),
        "mainstay-lsm" => RGBColor(0, 110, 90),
        "disk" | "map" | "lsm-tree" => RGBColor(150, 150, 150),
        name => {
            let place = KINDS.iter().position(|kind| kind.name == name).unwrap_or_default();
            let (red, green, blue) = Palette99::COLORS[place % Palette99::COLORS.len()];
            RGBColor(red, green, blue)
        }
    }
}

/// Throughput of every store: a bar to the median, and a dot for each round.
pub(super) fn throughput(comparison: &Comparison<'_>) -> Result<String> {
    let rows: Vec<_> = comparison.rows.iter().filter(|row| !row.rounds.is_empty()).collect();
    let rates = |row: &Row<'_>| -> Vec<f64> {
        row.rounds.iter().map(|round| round.records_per_second).collect()
    };
    let most = rows.iter().flat_map(|row| rates(row)).fold(1.0, f64::max);
    let mut svg = String::new();
    {
        let height = 60 + 26 * u32::try_from(rows.len())?;
        let root = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        let mut chart = ChartBuilder::on(&root)
            .x_label_area_size(34)
            .y_label_area_size(100)
            .margin(8)
            .build_cartesian_2d(0.0..most * 1.02, (0..rows.len()).into_segmented())?;
        let name = |value: &SegmentValue<usize>| match value {
            SegmentValue::CenterOf(index) => {
                let row = rows.get(rows.len().wrapping_sub(1 + index));
                row.map_or_else(String::new, |row| row.kind.name.to_owned())
            }
            _ => String::new(),
        };
        chart
            .configure_mesh()
            .disable_y_mesh()
            .y_labels(rows.len().max(1))
            .y_label_formatter(&name)
            .x_desc("records/s")
            .x_label_formatter(&|rate| super::table::grouped(*rate))
            .draw()?;
        for (place, row) in rows.iter().rev().enumerate() {
            let (bottom, top) = (SegmentValue::Exact(place), SegmentValue::Exact(place + 1));
            let corners = [(0.0, bottom), (row.rate(), top)];
            let mut bar = Rectangle::new(corners, colour(row).mix(0.75).filled());
            bar.set_margin(4, 4, 0, 0);
            chart.draw_series([bar])?;
            let dot = |rate| {
                Circle::new((rate, SegmentValue::CenterOf(place)), 2, BLACK.mix(0.6).filled())
            };
            chart.draw_series(rates(row).into_iter().map(dot))?;
        }
        root.present()?;
    }
    Ok(svg)
}

/// Throughput over time of each store's typical round.
pub(super) fn windows(comparison: &Comparison<'_>) -> Result<String> {
    let typical = |row: &'_ Row<'_>| {
        let round = row.typical()?;
        let time = |index: usize| (index as f64 + 0.5) * round.window_seconds;
        let points = round.windows.iter().enumerate();
        Some(points.map(|(index, rate)| (time(index), *rate)).collect::<Vec<_>>())
    };
    let lines: Vec<_> =
        comparison.rows.iter().filter_map(|row| Some((row, typical(row)?))).collect();
    let points = || lines.iter().flat_map(|(_, points)| points);
    let longest = points().map(|(time, _)| *time).fold(1.0, f64::max);
    let most = points().map(|(_, rate)| *rate).fold(1.0, f64::max);
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (WIDTH, 340)).into_drawing_area();
        let mut chart = ChartBuilder::on(&root)
            .x_label_area_size(34)
            .y_label_area_size(100)
            .margin(8)
            .build_cartesian_2d(0.0..longest * 1.02, 0.0..most * 1.05)?;
        chart
            .configure_mesh()
            .x_desc("seconds")
            .y_desc("records/s")
            .y_label_formatter(&|rate| super::table::grouped(*rate))
            .draw()?;
        for (row, points) in lines {
            let colour = colour(row);
            chart
                .draw_series(LineSeries::new(points, colour.stroke_width(2)))?
                .label(row.kind.name)
                .legend(move |(x, y)| {
                    PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2))
                });
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.3))
            .draw()?;
        root.present()?;
    }
    Ok(svg)
}
