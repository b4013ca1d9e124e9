//! One page about an evaluation that can be mailed: everything is inside the file.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::curves::precision_recall_panel;
use super::escape::escape;
use super::plot::curves_svg;
use super::tables::{
    audit_table, calibration_table, class_table, confusion_table, example_table, facts_table, metrics_table,
};
use crate::metrics::Evaluation;

const STYLE: &str = include_str!("page.css");

/// A self-contained HTML page, for light and dark screens.
///
/// `facts` are rows about the model (name, value), `sheet_png` the bytes of the examples' contact sheet (none
/// if empty), `curves` the SVG of the training run. All text is escaped; images are embedded as such, so
/// that nothing in them can run, and the page forbids itself to load anything.
pub fn evaluation_html(
    evaluation: &Evaluation,
    title: &str,
    facts: &[(String, String)],
    sheet_png: &[u8],
    curves: Option<&str>,
) -> String {
    let title = escape(title);
    let body = [
        summary(evaluation),
        section("Does the map select?", AUDIT, evaluation.audit.is_some().then(|| audit_table(evaluation))),
        section(
            "Can the probabilities be trusted?",
            &calibration_words(evaluation),
            evaluation.calibration.is_some().then(|| calibration_table(evaluation)),
        ),
        section("Model", "", (!facts.is_empty()).then(|| facts_table(facts))),
        section(
            "Classes",
            "A dash: the class does not occur, or was never predicted.",
            (!evaluation.per_class.is_empty()).then(|| class_table(evaluation)),
        ),
        section(
            "Confusion",
            "Number of images by true class (row) and predicted class (column), tinted by the share of the row. \
             Images with an invalid prediction are in no column.",
            (!evaluation.confusion.is_empty()).then(|| confusion_table(evaluation)),
        ),
        section("Localisation", "", localisation(evaluation)),
        section("Examples", EXAMPLES, examples(evaluation, sheet_png)),
        section("Training", "", curves.map(|svg| svg_figure(svg, "Curves of the training run"))),
    ];
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\" />\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\" />\n\
         <meta http-equiv=\"Content-Security-Policy\" \
         content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\" />\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n{}</body>\n</html>\n",
        body.concat()
    )
}

const AUDIT: &str = "The predictor is given other versions of the masked image and must name the class again. \
     The rows are to be compared with each other: the first is what the model does, the last selects nothing \
     at all. Images without a valid map are left out.";

fn calibration_words(evaluation: &Evaluation) -> String {
    let Some(found) = &evaluation.calibration else {
        return String::new();
    };
    format!(
        "Probabilities are softmax(logits / T). Before: T = 1. After: {}. No class changes. Images with an invalid \
         prediction are left out.",
        found.words()
    )
}

const EXAMPLES: &str = "Each entry shows the image with the outline of the map at 0.5 (white) and of the true \
                       mask (magenta, if there is one), the map in viridis from 0 (dark) to 1 (bright), and what \
                       the predictor saw, hidden parts in grey. Green frame: the class is right; red: wrong.";

fn summary(evaluation: &Evaluation) -> String {
    let split = match evaluation.split.as_str() {
        "" => String::new(),
        split => format!(" of the split “{}”", escape(split)),
    };
    let with_mask = evaluation.with_mask.map(|n| format!(", {n} of them with a true mask"));
    format!(
        "<p>{} images{split}{}; {} classes; {} invalid predictions (a map or a logit that is not a number).</p>\n{}",
        evaluation.n,
        with_mask.unwrap_or_default(),
        evaluation.classes.len(),
        evaluation.invalid,
        metrics_table(evaluation)
    )
}

/// A headed part of the page; nothing without content. `words` is plain text.
fn section(heading: &str, words: &str, content: Option<String>) -> String {
    let Some(content) = content else {
        return String::new();
    };
    let words = if words.is_empty() { String::new() } else { format!("<p>{}</p>\n", escape(words)) };
    format!("<section>\n<h2>{}</h2>\n{words}{content}</section>\n", escape(heading))
}

fn localisation(evaluation: &Evaluation) -> Option<String> {
    if evaluation.curve.is_empty() {
        return None;
    }
    let svg = curves_svg(&[precision_recall_panel(&evaluation.curve)]);
    Some(svg_figure(&svg, "Precision of the pixels over their recall, pooled over all images with a mask"))
}

fn examples(evaluation: &Evaluation, sheet_png: &[u8]) -> Option<String> {
    if sheet_png.is_empty() {
        return None;
    }
    let list = if evaluation.examples.is_empty() {
        String::new()
    } else {
        let table = example_table(evaluation);
        format!("<details><summary>The entries, row by row</summary>\n{table}</details>\n")
    };
    Some(figure("image/png", sheet_png, "Contact sheet of images, maps and masked images") + &list)
}

/// An SVG as an image: its styles stay its own and it cannot run anything.
fn svg_figure(svg: &str, words: &str) -> String {
    figure("image/svg+xml", svg.as_bytes(), words)
}

fn figure(media_type: &str, bytes: &[u8], words: &str) -> String {
    let data = STANDARD.encode(bytes);
    let words = escape(words);
    format!("<figure><img alt=\"{words}\" src=\"data:{media_type};base64,{data}\" /></figure>\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{Audit, Calibration, ClassRow, CurvePoint, Example, Reliability, TemperatureSource};
    use crate::report::well_formed::assert_well_formed;
    use comet_engine::image::Mask;

    fn evaluation() -> Evaluation {
        let classes: Vec<String> = vec!["<b>&".into(), "\"plain\"".into()];
        let row = |class: &String| ClassRow { class: class.clone(), n: 2, ..ClassRow::default() };
        Evaluation {
            split: "<val>".into(),
            n: 4,
            accuracy: 75.0,
            per_class: classes.iter().map(row).collect(),
            classes,
            confusion: vec![vec![2, 0], vec![1, 1]],
            curve: vec![CurvePoint { threshold: 0.0, precision: 0.2, recall: 1.0 }],
            examples: vec![Example {
                image: 3,
                mask: Mask::new(1, 1, vec![0.5]).unwrap(),
                logits: vec![1.0, 0.0],
                label: 1,
                predicted: None,
            }],
            ..Evaluation::default()
        }
    }

    #[test]
    fn the_page_is_well_formed_and_all_text_is_escaped() {
        let facts = [("name <i>".to_owned(), "a & b".to_owned())];
        let svg = curves_svg(&[]);
        let page = evaluation_html(&evaluation(), "T <script>", &facts, &[1, 2, 3], Some(&svg));
        assert_well_formed(&page);
        for raw in ["<b>", "<i>", "<script", "<val>", "a & b"] {
            assert!(!page.contains(raw), "{raw}");
        }
        assert!(page.contains("&lt;b&gt;&amp;") && page.contains("T &lt;script&gt;"));
        assert_eq!(page.matches("<img").count(), 3);
        assert!(page.contains("data:image/png;base64,AQID\""));
        assert!(page.contains("no valid prediction"));
    }

    #[test]
    fn nothing_is_loaded_from_elsewhere() {
        let page = evaluation_html(&evaluation(), "t", &[], &[1], None);
        for outside in ["http:", "https:", "url(", "@import", "<script", "<link"] {
            assert!(!page.contains(outside), "{outside}");
        }
    }

    #[test]
    fn parts_without_content_are_left_out() {
        let page = evaluation_html(&Evaluation::default(), "t", &[], &[], None);
        assert_well_formed(&page);
        for heading in
            ["Does the map", "Can the prob", "Model", "Confusion", "Examples", "Training", "Localisation"]
        {
            assert!(!page.contains(&format!("<h2>{heading}")), "{heading}");
        }
    }

    #[test]
    fn the_audit_is_shown_with_its_number_of_images_and_its_meaning() {
        let audit = Audit { n: 3, as_used: 83.2, cut_at_half: 70.4, left_out: 31.1, uniform_dimming: 50.6 };
        let page = evaluation_html(&Evaluation { audit: Some(audit), ..evaluation() }, "t", &[], &[], None);
        assert_well_formed(&page);
        let rows: Vec<&str> = page.lines().filter(|line| line.contains("<td>3</td>")).collect();
        let expected = [
            ("map as used", "83.2"),
            ("map cut at 0.5", "70.4"),
            ("what is left out", "31.1"),
            ("uniform dimming", "50.6"),
        ];
        assert_eq!(rows.len(), expected.len(), "{rows:?}");
        for (row, (name, value)) in rows.into_iter().zip(expected) {
            assert!(row.contains(name) && row.contains(&format!("<td>{value}</td>")), "{row}");
            assert!(row.contains("accuracy"), "what it means: {row}");
        }
    }

    #[test]
    fn probabilities_are_shown_before_and_after_with_their_units() {
        let calibration = Calibration {
            n: 3,
            temperature: 1.5,
            temperature_from: TemperatureSource::File,
            before: Reliability { ece: 9.5, nll: 0.8125 },
            after: Reliability { ece: 2.5, nll: 0.75 },
        };
        let evaluation = Evaluation { calibration: Some(calibration), ..evaluation() };
        let page = evaluation_html(&evaluation, "t", &[], &[], None);
        assert_well_formed(&page);
        assert!(page.contains("After: T = 1.5, that of the model file."), "{page}");
        let cells = [("ECE before", "9.5", "%"), ("ECE after", "2.5", "%"), ("NLL after", "0.750", "nats")];
        for (name, value, unit) in cells {
            let row = format!("<th scope=\"row\">{name}</th><td>{value}</td><td>{unit}</td><td>3</td>");
            assert!(page.contains(&row), "{row}");
        }
    }

    #[test]
    fn the_confusion_matrix_is_tinted_by_the_share_of_the_row() {
        let table = confusion_table(&evaluation());
        assert!(table.contains("rgba(0,140,100,0.600)\">2<"), "{table}");
        assert!(table.contains("rgba(213,94,0,0.300)\">1<"), "{table}");
    }
}
