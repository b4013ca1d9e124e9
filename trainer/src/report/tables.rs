//! The tables of an evaluation report, as HTML.

use super::escape::escape;
use crate::metrics::{Evaluation, MetricRow, Unit};

/// Strongest tint of a cell; more would make its number hard to read.
const TINT: f64 = 0.6;

/// All measures with unit, number of images and definition.
pub(super) fn metrics_table(evaluation: &Evaluation) -> String {
    measures(evaluation.rows())
}

/// How the predictor fares on other versions of the masked image.
pub(super) fn audit_table(evaluation: &Evaluation) -> String {
    measures(evaluation.audit_rows())
}

/// Probabilities before and after temperature scaling.
pub(super) fn calibration_table(evaluation: &Evaluation) -> String {
    measures(evaluation.calibration_rows())
}

fn measures(rows: Vec<MetricRow>) -> String {
    let rows = rows.into_iter().map(|row| {
        let n = row.n.map_or_else(|| "–".to_owned(), |n| n.to_string());
        format!(
            "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{n}</td><td class=\"words\">{}</td></tr>\n",
            escape(row.name),
            value(&row),
            row.unit.symbol(),
            escape(row.definition)
        )
    });
    let head = ["measure", "value", "unit", "n (images)", "definition"];
    table(&header(&head), &rows.collect::<String>())
}

/// Facts about the model: a name and a value a row.
pub(super) fn facts_table(facts: &[(String, String)]) -> String {
    let rows = facts.iter().map(|(name, value)| {
        let (name, value) = (escape(name), escape(value));
        format!("<tr><th scope=\"row\">{name}</th><td class=\"words\">{value}</td></tr>\n")
    });
    table("", &rows.collect::<String>())
}

/// Number of images, precision, recall and map area of each class.
pub(super) fn class_table(evaluation: &Evaluation) -> String {
    let rows = evaluation.per_class.iter().map(|row| {
        format!(
            "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
            escape(&row.class),
            row.n,
            number(row.precision),
            number(row.recall),
            number(row.area)
        )
    });
    let head = ["class", "n (images)", "precision (%)", "recall (%)", "map area (%)"];
    table(&header(&head), &rows.collect::<String>())
}

/// Images by true and predicted class; a cell is tinted by its share of the row, right ones in another colour.
pub(super) fn confusion_table(evaluation: &Evaluation) -> String {
    let heads = ["true \\ predicted"].into_iter().chain(evaluation.classes.iter().map(String::as_str));
    let rows = evaluation.confusion.iter().zip(&evaluation.classes).enumerate();
    let rows = rows.map(|(index, (counts, class))| {
        let total = counts.iter().sum::<u64>().max(1) as f64;
        let cells = counts.iter().enumerate().map(|(column, &count)| {
            let colour = if column == index { "0,140,100" } else { "213,94,0" };
            let alpha = TINT * count as f64 / total;
            format!("<td style=\"background:rgba({colour},{alpha:.3})\">{count}</td>")
        });
        let cells: String = cells.collect();
        format!("<tr><th scope=\"row\">{}</th>{cells}</tr>\n", escape(class))
    });
    let rows: String = rows.collect();
    table(&header(&heads.collect::<Vec<_>>()), &rows)
}

/// The examples of the contact sheet in its order.
pub(super) fn example_table(evaluation: &Evaluation) -> String {
    let name = |class: usize| evaluation.classes.get(class).map_or("?", String::as_str);
    let rows = evaluation.examples.iter().enumerate().map(|(index, example)| {
        let predicted = example.predicted.map_or("no valid prediction", name);
        format!(
            "<tr><th scope=\"row\">{}</th><td>{}</td><td class=\"words\">{}</td>\
             <td class=\"words\">{}</td><td>{}</td></tr>\n",
            index + 1,
            example.image,
            escape(name(example.label)),
            escape(predicted),
            number(Some(100.0 * f64::from(example.mask.mean())))
        )
    });
    let head = ["place", "image (index)", "true", "predicted", "map area (%)"];
    table(&header(&head), &rows.collect::<String>())
}

fn header(names: &[&str]) -> String {
    let cells: String = names.iter().map(|name| format!("<th scope=\"col\">{}</th>", escape(name))).collect();
    format!("<thead><tr>{cells}</tr></thead>\n")
}

fn table(head: &str, rows: &str) -> String {
    format!("<div class=\"wide\"><table>\n{head}<tbody>\n{rows}</tbody>\n</table></div>\n")
}

fn value(row: &MetricRow) -> String {
    match (row.unit, row.value) {
        (Unit::Nats, Some(nats)) => format!("{nats:.3}"),
        (_, value) => number(value),
    }
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.1}"))
}
