//! What became of each node of a model.

use comet_onnx::GraphView;
use comet_onnx::attribute::int_of;
use comet_onnx::proto::NodeProto;
use serde::Serialize;

use crate::plan::pattern::{Fusion, Kind};
use crate::plan::segment::Segments;

/// What became of the nodes of a model.
#[derive(Clone, Debug, Serialize)]
pub struct PlanReport {
    /// The kernels: a tier of this crate, or tract alone.
    pub kernels: String,
    /// Why integer kernels do not run the whole model, if they do not.
    pub remark: Option<String>,
    /// One line a node, in the order of the file.
    pub nodes: Vec<PlannedNode>,
    /// Multiplications of all convolutions and fully connected layers.
    pub multiplications: u64,
    /// Those that integer kernels do.
    pub fused_multiplications: u64,
    /// Parts that run without tract, of which a model that is fused as a whole has one.
    pub regions: usize,
    /// Bytes of activations that the regions work in.
    pub activation_bytes: usize,
}

/// What became of a node.
#[derive(Clone, Debug, Serialize)]
pub struct PlannedNode {
    /// Its name in the file.
    pub name: String,
    /// Its operator.
    pub operator: String,
    /// What runs it.
    pub runs_as: String,
    /// Multiplications, if it is a convolution or fully connected layer.
    pub multiplications: u64,
}

impl PlanReport {
    /// Share of the multiplications that integer kernels do, in percent.
    pub fn fused_share(&self) -> f64 {
        if self.multiplications == 0 {
            return 0.0;
        }
        self.fused_multiplications as f64 / self.multiplications as f64 * 100.0
    }

    pub(super) fn new(
        graph: &GraphView<'_>,
        fused: Option<(&Fusion<'_>, &Segments<'_>)>,
        kernels: &str,
    ) -> Self {
        let mut runs_as: Vec<Option<String>> = vec![None; graph.nodes.len()];
        let mut fused_multiplications = 0;
        if let Some((fusion, segments)) = fused {
            for (number, region) in segments.regions.iter().enumerate() {
                for group in region.groups.iter().filter_map(|index| fusion.groups.get(*index)) {
                    if let Kind::Convolve(conv) = &group.kind {
                        fused_multiplications += conv.multiplications;
                    }
                    let what = format!("{} (region {number})", group.kind.name());
                    for node in &group.nodes {
                        if let Some(line) = runs_as.get_mut(*node) {
                            *line = Some(what.clone());
                        }
                    }
                }
            }
            for node in &fusion.absorbed {
                if let Some(line) = runs_as.get_mut(*node) {
                    *line = Some("absorbed".to_owned());
                }
            }
        }
        let planned = |(node, runs_as): (&NodeProto, Option<String>)| PlannedNode {
            name: node.name.clone(),
            operator: node.op_type.clone(),
            runs_as: runs_as
                .unwrap_or_else(|| if node.op_type == "Constant" { "constant" } else { "tract" }.into()),
            multiplications: multiplications(graph, node).unwrap_or(0),
        };
        let nodes: Vec<PlannedNode> = graph.nodes.iter().zip(runs_as).map(planned).collect();
        Self {
            kernels: kernels.to_owned(),
            remark: None,
            multiplications: nodes.iter().map(|node| node.multiplications).sum(),
            nodes,
            fused_multiplications,
            regions: fused.map_or(0, |(_, segments)| segments.regions.len()),
            activation_bytes: 0,
        }
    }
}

/// Multiplications of a convolution or fully connected layer: values of the output times weights of one of them.
fn multiplications(graph: &GraphView<'_>, node: &NodeProto) -> Option<u64> {
    if !matches!(node.op_type.as_str(), "Conv" | "Gemm" | "QLinearConv" | "MatMul" | "QLinearMatMul") {
        return None;
    }
    let values: usize = graph.shape(node.output.first()?)?.iter().product();
    let weight = node.input.get(if node.op_type.starts_with("QLinear") { 3 } else { 1 })?;
    let source = graph.maker(weight).and_then(|(_, maker)| maker.input.first()).unwrap_or(weight);
    let dims: Vec<u64> = match graph.constant(source) {
        Some(tensor) => tensor.dims.iter().map(|side| u64::try_from(*side).unwrap_or(0)).collect(),
        None => graph.shape(weight)?.iter().map(|side| *side as u64).collect(),
    };
    let outputs = match (node.op_type.as_str(), int_of(node, "transB")) {
        ("Conv" | "QLinearConv", _) | (_, Some(1)) => *dims.first()?,
        _ => *dims.last()?,
    };
    Some(values as u64 * dims.iter().product::<u64>().checked_div(outputs)?)
}
