//! The chart: one bar per contender, as long as its restart took at the median, on a logarithmic scale.

use std::path::Path;

use plotters::prelude::*;

use super::Summary;
use super::page::plain;

const SIZE_OF_BAR: u32 = 34;
const WIDTH: u32 = 860;
const PRODUCT_COLOR: RGBColor = RGBColor(0x1b, 0x6a, 0xc9);
const FLOOR_COLOR: RGBColor = RGBColor(0x9a, 0xa4, 0xaf);
const PEER_COLOR: RGBColor = RGBColor(0xc9, 0xa2, 0x5a);

/// Draws what restarts took, in milliseconds, and the ratio to the bare loop.
pub(crate) fn draw(
    path: &Path,
    bars: &[(String, Summary, f64)],
    caption: &str,
) -> Result<(), Box<dyn std::error::Error>> {
    let height = SIZE_OF_BAR * u32::try_from(bars.len())? + 110;
    let root = SVGBackend::new(path, (WIDTH, height)).into_drawing_area();
    root.fill(&WHITE)?;
    let (shortest, longest) = (bars.iter().map(|bar| bar.1.low), bars.iter().map(|bar| bar.1.high));
    let (from, to) = (shortest.fold(f64::MAX, f64::min) / 2.0, longest.fold(0.0, f64::max) * 16.0);
    let mut chart = ChartBuilder::on(&root)
        .caption(caption, ("sans-serif", 17))
        .margin(12)
        .x_label_area_size(38)
        .y_label_area_size(190)
        .build_cartesian_2d((from..to).log_scale(), (0..bars.len() - 1).into_segmented())?;
    // Segments count from below; the first bar is to be on top.
    let name = |at: usize| bars.get(bars.len() - 1 - at).map_or(String::new(), |bar| bar.0.clone());
    chart
        .configure_mesh()
        .disable_y_mesh()
        .y_labels(bars.len())
        .y_label_formatter(&|at| match at {
            SegmentValue::CenterOf(at) | SegmentValue::Exact(at) if *at < bars.len() => name(*at),
            SegmentValue::CenterOf(_) | SegmentValue::Exact(_) | SegmentValue::Last => String::new(),
        })
        .x_desc("milliseconds, logarithmic")
        .label_style(("sans-serif", 13))
        .draw()?;
    for (at, (name, summary, ratio)) in bars.iter().rev().enumerate() {
        let color = match name.as_str() {
            "worker-supervisor" => PRODUCT_COLOR,
            name if name.starts_with("bare") => FLOOR_COLOR,
            _ => PEER_COLOR,
        };
        let (below, above) = (SegmentValue::Exact(at), SegmentValue::Exact(at + 1));
        let mut bar = Rectangle::new([(from, below), (summary.median, above)], color.filled());
        bar.set_margin(6, 6, 0, 0);
        chart.draw_series([bar])?;
        let middle = SegmentValue::CenterOf(at);
        let half =
            PathElement::new([(summary.low, middle.clone()), (summary.high, middle.clone())], BLACK.stroke_width(2));
        chart.draw_series([half])?;
        let text = format!("{} ms, {} ×", plain(summary.median), plain(*ratio));
        let label =
            EmptyElement::at((summary.high.max(summary.median), middle)) + Text::new(text, (8, -6), ("sans-serif", 13));
        chart.draw_series([label])?;
    }
    root.present()?;
    Ok(())
}
