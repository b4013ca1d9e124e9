//! `inspect`: what a model file says about itself.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

use super::args::InspectArgs;
use super::exit::Exit;
use super::model;
use super::print::{print_json, print_text};
use crate::engine::proto::GraphProto;
use crate::engine::{PlanReport, PlannedNode, Session};
use crate::model::{Manifest, ModelFile};

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
        report.plan = Some(Session::new(&model)?.plan().clone());
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
        parameters: graph.map_or(0, parameters),
        operators,
        manifest: model.manifest(),
        plan: None,
    }
}

fn parameters(graph: &GraphProto) -> u64 {
    let count = |dims: &[i64]| {
        dims.iter().try_fold(1u64, |product, &dim| product.checked_mul(u64::try_from(dim).ok()?))
    };
    let counts = graph.initializer.iter().filter_map(|tensor| count(&tensor.dims));
    counts.fold(0, u64::saturating_add)
}

fn text(report: &Report<'_>) -> String {
    let Manifest { name, writer, classes, preprocess, precision, preset, training, data, .. } =
        report.manifest;
    let mut text = String::new();
    let mut line = |key: &str, value: String| {
        // Names come from the file: a control character must not reach a terminal.
        let value: String = value.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{key:<13}{value}");
    };
    line("file", format!("{} ({} bytes)", report.file, report.bytes));
    line("sha256", report.sha256.to_owned());
    line("model", format!("{name}, {precision}, preset {preset}, written by {writer}"));
    line("input", format!("{} x {} pixels, {:?}", preprocess.width, preprocess.height, preprocess.fit));
    line("classes", format!("{}: {}", classes.len(), classes.join(", ")));
    line(
        "training",
        format!(
            "{} epochs (best {}), objective {}, a = {}, b = {}, seed {}, on {}",
            training.epochs,
            training.best_epoch,
            training.completeness,
            training.alpha,
            training.beta,
            training.seed,
            training.device,
        ),
    );
    line("data", format!("{}: {} training, {} validation pictures", data.name, data.train, data.val));
    if let Some(metrics) = &report.manifest.metrics {
        let pxap = metrics.pxap.map(|pxap| format!(", PxAP {pxap:.1} %")).unwrap_or_default();
        line(
            "metrics",
            format!(
                "accuracy {:.1} %, balanced {:.1} %{pxap}, map area {:.1} % ({}, n = {})",
                metrics.accuracy, metrics.balanced_accuracy, metrics.area, metrics.split, metrics.n,
            ),
        );
    }
    if let Some(fidelity) = &report.manifest.fidelity {
        line(
            "fidelity",
            format!(
                "map MAE {:.4}, IoU {:.3}, r {:.3}, labels {:.1} % as the float file (n = {})",
                fidelity.mask_mae,
                fidelity.mask_iou_mean,
                fidelity.mask_pearson,
                fidelity.agreement,
                fidelity.n,
            ),
        );
    }
    line(
        "graph",
        format!(
            "{} nodes, {} parameters, opset {}",
            report.nodes,
            report.parameters,
            report.opset.map_or("unknown".into(), |opset| opset.to_string())
        ),
    );
    let operators = report.operators.iter().map(|(name, count)| format!("{name} {count}"));
    line("operators", operators.collect::<Vec<_>>().join(", "));
    if let Some(plan) = &report.plan {
        let million = |count: u64| count as f64 / 1e6;
        line(
            "plan",
            format!(
                "kernels {}; {:.1} % of {:.1} million multiplications in {} fused regions, {} kB of activations",
                plan.kernels,
                plan.fused_share(),
                million(plan.multiplications),
                plan.regions,
                plan.activation_bytes / 1000,
            ),
        );
        if let Some(remark) = &plan.remark {
            line("", remark.clone());
        }
        for PlannedNode { name, operator, runs_as, multiplications } in &plan.nodes {
            let share = if *multiplications > 0 {
                format!(", {:.2} million multiplications", million(*multiplications))
            } else {
                String::new()
            };
            line("", format!("{operator} {name}: {runs_as}{share}"));
        }
    }
    text.trim_end().to_owned()
}
