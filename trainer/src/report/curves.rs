//! Precision over recall of an evaluation's maps.

use super::plot::{Panel, Series};
use crate::metrics::CurvePoint;

/// Ends of an axis of shares.
const PERCENT: (f64, f64) = (0.0, 100.0);

/// Precision over recall of the pixels, for an [`Evaluation`](crate::metrics::Evaluation)'s curve.
pub fn precision_recall_panel(curve: &[CurvePoint]) -> Panel {
    let points = curve.iter().rev().map(|point| (100.0 * point.recall, 100.0 * point.precision));
    // Where no threshold lies between two values the points coincide; above the highest value nothing is
    // predicted, and the precision there is a convention, not a finding.
    let mut points: Vec<(f64, f64)> = points.filter(|point| point.0 > 0.0).collect();
    points.dedup();
    Panel {
        title: "Precision of the pixels (%) over their recall".to_owned(),
        x_label: "recall (%)".to_owned(),
        series: vec![Series { name: "map, 1,000 thresholds".to_owned(), points }],
        x_range: Some(PERCENT),
        y_range: Some(PERCENT),
        target: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_precision_recall_curve_leaves_out_where_nothing_is_found() {
        let point = |threshold, precision, recall| CurvePoint { threshold, precision, recall };
        let curve = [point(0.0, 0.25, 1.0), point(0.3, 0.5, 0.5), point(0.4, 0.5, 0.5), point(0.9, 1.0, 0.0)];
        let panel = precision_recall_panel(&curve);
        assert_eq!(panel.series[0].points, [(50.0, 50.0), (100.0, 25.0)]);
    }
}
