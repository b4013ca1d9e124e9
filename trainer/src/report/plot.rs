//! Small line plots side by side, as one SVG that needs nothing else.

use super::axis::Axis;
use super::escape::escape;

const STYLE: &str = include_str!("plot.css");
/// Colours and dashes in the style; series beyond them repeat.
const STYLES: usize = 4;
const COLUMNS: usize = 2;
/// Width of a panel in pixels, and the room of its parts.
const WIDTH: f64 = 440.0;
const LEFT: f64 = 52.0;
const RIGHT: f64 = WIDTH - 16.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 206.0;
/// First line of the legend, and the distance of its lines and columns.
const LEGEND: f64 = 252.0;
const LEGEND_LINE: f64 = 17.0;
const LEGEND_COLUMN: f64 = (RIGHT - LEFT) / 2.0;
/// Characters of a name that fit into a column of the legend.
const NAME: usize = 28;
/// Up to so many points each of them gets a dot: a line of one point would not be seen.
const DOTTED: usize = 40;

/// One line of a plot.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// `(x, y)` in the order of drawing. The line is interrupted at values that are not finite numbers.
    pub points: Vec<(f64, f64)>,
}

/// A value to reach, drawn as a level line.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Target {
    /// Where.
    pub value: f64,
    /// Its name in the legend.
    pub name: String,
}

/// One plot.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Panel {
    /// What is shown, and in which unit.
    pub title: String,
    /// What the horizontal axis is.
    pub x_label: String,
    /// The lines.
    pub series: Vec<Series>,
    /// Ends of the horizontal axis; found from the points if `None`.
    pub x_range: Option<(f64, f64)>,
    /// Ends of the vertical axis; found from the points if `None`.
    pub y_range: Option<(f64, f64)>,
    /// A level to reach.
    pub target: Option<Target>,
}

/// Draws the panels in two columns as a self-contained SVG, readable on light and on dark pages.
pub fn curves_svg(panels: &[Panel]) -> String {
    let columns = panels.len().clamp(1, COLUMNS);
    let entries = panels.iter().map(|panel| panel.series.len() + usize::from(panel.target.is_some()));
    let lines = entries.max().unwrap_or(0).div_ceil(2);
    let height = LEGEND + LEGEND_LINE * lines as f64;
    let (wide, tall) = (WIDTH * columns as f64, height * panels.len().div_ceil(columns).max(1) as f64);
    let titles: Vec<&str> = panels.iter().map(|panel| panel.title.as_str()).collect();
    let drawn = panels.iter().enumerate().map(|(index, panel)| {
        let x = WIDTH * (index % columns) as f64;
        let y = height * (index / columns) as f64;
        format!("<g transform=\"translate({x} {y})\">\n{}</g>\n", draw(panel))
    });
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" width=\"{wide}\" height=\"{tall}\" \
         viewBox=\"0 0 {wide} {tall}\">\n<title>{}</title>\n<style>{STYLE}</style>\n\
         <rect class=\"paper\" width=\"{wide}\" height=\"{tall}\"/>\n{}</svg>\n",
        escape(&titles.join(", ")),
        drawn.collect::<String>()
    )
}

fn draw(panel: &Panel) -> String {
    let points = || panel.series.iter().flat_map(|series| &series.points);
    let x_axis = match panel.x_range {
        Some((low, high)) => Axis::fixed(low, high, LEFT, RIGHT),
        None => Axis::around(points().map(|point| point.0), LEFT, RIGHT),
    };
    let y_axis = match panel.y_range {
        Some((low, high)) => Axis::fixed(low, high, BOTTOM, TOP),
        None => {
            let target = panel.target.iter().map(|target| target.value);
            Axis::around(points().map(|point| point.1).chain(target), BOTTOM, TOP)
        }
    };
    let series = panel.series.iter().enumerate();
    let lines = series.map(|(index, series)| draw_series(index, series, &x_axis, &y_axis));
    let lines: String = lines.collect();
    let empty = text((LEFT + RIGHT) / 2.0, (TOP + BOTTOM) / 2.0, "middle", "tick", "no data");
    [
        text(LEFT, 20.0, "start", "title", &panel.title),
        draw_grid(&x_axis, &y_axis),
        panel.target.as_ref().map(|target| level(target, &y_axis)).unwrap_or_default(),
        if lines.is_empty() { empty } else { lines },
        text(RIGHT, BOTTOM + 32.0, "end", "tick", &panel.x_label),
        draw_legend(panel),
    ]
    .concat()
}

fn draw_grid(x_axis: &Axis, y_axis: &Axis) -> String {
    let across = y_axis.ticks().into_iter().map(|(y, label)| {
        let line =
            format!("<line class=\"grid\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\n");
        line + &text(LEFT - 6.0, y + 4.0, "end", "tick", &label)
    });
    let along = x_axis.ticks().into_iter().map(|(x, label)| {
        let end = BOTTOM + 4.0;
        let line =
            format!("<line class=\"frame\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{BOTTOM}\" y2=\"{end}\"/>\n");
        line + &text(x, BOTTOM + 17.0, "middle", "tick", &label)
    });
    let frame = format!("<path class=\"frame\" d=\"M{LEFT} {TOP}V{BOTTOM}H{RIGHT}\"/>\n");
    across.chain(along).chain([frame]).collect()
}

fn level(target: &Target, y_axis: &Axis) -> String {
    if !target.value.is_finite() {
        return String::new();
    }
    let y = y_axis.place(target.value);
    format!("<line class=\"target\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\n")
}

/// The line and its dots; nothing if no point is a number.
fn draw_series(index: usize, series: &Series, x_axis: &Axis, y_axis: &Axis) -> String {
    let style = index % STYLES;
    let mut path = String::new();
    let mut dots = String::new();
    let mut pen_is_down = false;
    for &(x, y) in &series.points {
        if !(x.is_finite() && y.is_finite()) {
            pen_is_down = false;
            continue;
        }
        let (x, y) = (x_axis.place(x), y_axis.place(y));
        let command = if pen_is_down { 'L' } else { 'M' };
        path += &format!("{command}{x:.1} {y:.1}");
        pen_is_down = true;
        if series.points.len() <= DOTTED {
            dots += &format!("<circle class=\"dot s{style}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.2\"/>\n");
        }
    }
    if path.is_empty() {
        return String::new();
    }
    format!("<path class=\"line s{style}\" d=\"{path}\"/>\n{dots}")
}

fn draw_legend(panel: &Panel) -> String {
    let series = panel.series.iter().enumerate();
    let lines = series.map(|(index, series)| (format!("line s{}", index % STYLES), &series.name));
    let target = panel.target.iter().map(|target| ("target".to_owned(), &target.name));
    let entries = lines.chain(target).enumerate().map(|(index, (class, name))| {
        let x = LEFT + LEGEND_COLUMN * (index % 2) as f64;
        let y = LEGEND + LEGEND_LINE * (index / 2) as f64;
        let (end, middle) = (x + 22.0, y - 4.0);
        let line =
            format!("<line class=\"{class}\" x1=\"{x}\" x2=\"{end}\" y1=\"{middle}\" y2=\"{middle}\"/>\n");
        line + &text(x + 28.0, y, "start", "name", &shortened(name))
    });
    entries.collect()
}

fn shortened(name: &str) -> String {
    if name.chars().count() <= NAME {
        return name.to_owned();
    }
    name.chars().take(NAME - 1).chain(['…']).collect()
}

fn text(x: f64, y: f64, anchor: &str, class: &str, content: &str) -> String {
    let content = escape(content);
    format!("<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{content}</text>\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::well_formed::assert_well_formed;

    fn panel(points: Vec<(f64, f64)>) -> Panel {
        Panel {
            title: "<Loss> & more".into(),
            x_label: "epoch".into(),
            series: vec![Series { name: "a < b".into(), points }],
            target: Some(Target { value: 30.0, name: "target \"t\"".into() }),
            ..Panel::default()
        }
    }

    #[test]
    fn the_drawing_is_well_formed_and_escaped() {
        let points = (1..9).map(|epoch| (f64::from(epoch), 30.0 / f64::from(epoch))).collect();
        let svg = curves_svg(&[panel(points), panel(Vec::new()), Panel::default()]);
        assert_well_formed(&svg);
        assert!(svg.contains("&lt;Loss&gt; &amp; more") && svg.contains("a &lt; b"));
        assert_eq!(svg.matches("no data").count(), 2);
        assert!(svg.contains("prefers-color-scheme: dark"));
        assert_well_formed(&curves_svg(&[]));
    }

    #[test]
    fn a_value_that_is_no_number_interrupts_the_line() {
        let svg = curves_svg(&[panel(vec![(1.0, 1.0), (2.0, f64::NAN), (3.0, 2.0), (4.0, 3.0)])]);
        let path = svg.split("<path class=\"line s0\" d=\"").nth(1).unwrap();
        let path = path.split('"').next().unwrap();
        assert_eq!((path.matches('M').count(), path.matches('L').count()), (2, 1));
        assert!(!svg.contains("NaN") && !svg.contains("inf"));
    }

    #[test]
    fn a_single_point_is_seen() {
        let svg = curves_svg(&[panel(vec![(1.0, 1.0)])]);
        assert_eq!(svg.matches("<circle").count(), 1);
    }
}
