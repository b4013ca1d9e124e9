//! `inspect`: the contents of a model file.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

use comet_engine::model::{Manifest, ModelFile};
use comet_engine::run::{PlanReport, PlannedNode, Session};

use super::args::InspectArgs;
use super::exit::Exit;
use super::print::{print_json, print_text};
use super::{environment, model};

#[derive(Serialize)]
struct Report<'a> {
    file: &'a str,
    bytes: usize,
    sha256: &'a str,
    opset: Option<i64>,
    nodes: usize,
    /// Values in the constants that the file stores; of an int8 file these are mostly bytes.
    parameters: u64,
    operators: BTreeMap<&'a str, usize>,
    manifest: &'a Manifest,
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<PlanReport>,
}

pub(super) fn inspect(args: &InspectArgs) -> anyhow::Result<Exit> {
    let model = model::read(args.file.as_deref(), args.skip_hash)?;
    let mut report = report(&model);
    if args.plan {
        let session = Session::with_options(&model, environment::engine(1)?)?;
        report.plan = Some(session.plan().clone());
    }
    if args.json {
        print_json(&report)?;
    } else {
        print_text(text(&report))?;
    }
    Ok(Exit::Ok)
}

fn report(model: &ModelFile) -> Report<'_> {
    let graph = model.proto().graph.as_ref();
    let mut operators: BTreeMap<&str, usize> = BTreeMap::new();
    for node in graph.into_iter().flat_map(|graph| &graph.node) {
        *operators.entry(node.op_type.as_str()).or_default() += 1;
    }
    let standard = |domain: &str| domain.is_empty() || domain == "ai.onnx";
    let opset = model.proto().opset_import.iter().find(|set| standard(&set.domain));
    Report {
        file: model.name(),
        bytes: model.bytes(),
        sha256: model.sha256(),
        opset: opset.map(|set| set.version),
        nodes: graph.map_or(0, |graph| graph.node.len()),
        parameters: parameters(
            graph.into_iter().flat_map(|graph| &graph.initializer).map(|tensor| tensor.dims.as_slice()),
        ),
        operators,
        manifest: model.manifest(),
        plan: None,
    }
}

/// Values in tensors of these shapes.
fn parameters<'a>(shapes: impl Iterator<Item = &'a [i64]>) -> u64 {
    let count = |dims: &[i64]| {
        dims.iter().try_fold(1u64, |product, &dim| product.checked_mul(u64::try_from(dim).ok()?))
    };
    shapes.filter_map(count).fold(0, u64::saturating_add)
}

/// Lines of a word and what there is to say about it.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn add(&mut self, key: &str, value: impl AsRef<str>) {
        // Names come from the file: a control character must not reach a terminal.
        let value: String = value.as_ref().chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "{key:<13}{value}");
    }
}

fn text(report: &Report<'_>) -> String {
    let mut lines = Lines::default();
    lines.add("file", format!("{} ({} bytes)", report.file, report.bytes));
    lines.add("sha256", report.sha256);
    add_manifest(&mut lines, report.manifest);
    add_graph(&mut lines, report);
    if let Some(plan) = &report.plan {
        add_plan(&mut lines, plan);
    }
    lines.0.trim_end().to_owned()
}

fn add_manifest(lines: &mut Lines, manifest: &Manifest) {
    let Manifest { name, writer, classes, preprocess, precision, preset, training, data, .. } = manifest;
    lines.add("model", format!("{name}, {precision}, preset {preset}, written by {writer}"));
    lines.add("input", format!("{} x {} pixels, {:?}", preprocess.width, preprocess.height, preprocess.fit));
    lines.add("classes", format!("{}: {}", classes.len(), classes.join(", ")));
    if manifest.temperature != 1.0 {
        lines.add("temperature", format!("{} (probabilities are softmax(logits / T))", manifest.temperature));
    }
    let training = format!(
        "{} epochs (best {}), objective {}, a = {}, b = {}, seed {}, on {}",
        training.epochs,
        training.best_epoch,
        training.completeness,
        training.alpha,
        training.beta,
        training.seed,
        training.device,
    );
    lines.add("training", training);
    lines.add("data", format!("{}: {} training, {} validation images", data.name, data.train, data.val));
    if let Some(metrics) = &manifest.metrics {
        let pxap = metrics.pxap.map(|pxap| format!(", PxAP {pxap:.1} %")).unwrap_or_default();
        let metrics = format!(
            "accuracy {:.1} %, balanced {:.1} %{pxap}, map area {:.1} % ({}, n = {})",
            metrics.accuracy, metrics.balanced_accuracy, metrics.area, metrics.split, metrics.n,
        );
        lines.add("metrics", metrics);
    }
    if let Some(fidelity) = &manifest.fidelity {
        let fidelity = format!(
            "map MAE {:.4}, IoU {:.3}, r {:.3}, labels {:.1} % as the float file (n = {})",
            fidelity.mask_mae, fidelity.mask_iou_mean, fidelity.mask_pearson, fidelity.agreement, fidelity.n,
        );
        lines.add("fidelity", fidelity);
    }
}

fn add_graph(lines: &mut Lines, report: &Report<'_>) {
    let opset = report.opset.map_or("unknown".into(), |opset| opset.to_string());
    let Report { nodes, parameters, .. } = report;
    lines.add("graph", format!("{nodes} nodes, {parameters} parameters, opset {opset}"));
    let operators = report.operators.iter().map(|(name, count)| format!("{name} {count}"));
    lines.add("operators", operators.collect::<Vec<_>>().join(", "));
}

fn add_plan(lines: &mut Lines, plan: &PlanReport) {
    let million = |count: u64| count as f64 / 1e6;
    let summary = format!(
        "kernels {}; {:.1} % of {:.1} million multiplications in {} fused regions, {} kB of activations",
        plan.kernels,
        plan.fused_share(),
        million(plan.multiplications),
        plan.regions,
        plan.activation_bytes / 1000,
    );
    lines.add("plan", summary);
    if let Some(remark) = &plan.remark {
        lines.add("", remark);
    }
    for PlannedNode { name, operator, runs_as, multiplications } in &plan.nodes {
        let share = if *multiplications > 0 {
            format!(", {:.2} million multiplications", million(*multiplications))
        } else {
            String::new()
        };
        lines.add("", format!("{operator} {name}: {runs_as}{share}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_controls_a_terminal_is_shown_with_question_marks() {
        let mut lines = Lines::default();
        lines.add("model", "a\u{1b}[2J\nb");
        assert_eq!(lines.0, "model        a?[2J?b\n");
    }
}
