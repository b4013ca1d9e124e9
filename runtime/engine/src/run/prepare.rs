//! Makes a graph ready: finds what of it integer kernels can run, and leaves the rest to tract.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use comet_kernels::{Pool, Tier};
use comet_onnx::proto::{GraphProto, ModelProto};
use comet_onnx::{GraphView, model_of};
use tract_linalg::multithread::Executor;
use tract_onnx::prelude::*;

use super::error::EngineError;
use super::executable::{Engine, Executable, MOST_OUTPUTS};
use super::float::dequantized;
use super::op::{self, FusedOp};
use super::options::{Kernels, Options};
use super::report::PlanReport;
use crate::guard::guarded;
use crate::plan::fuse::fuse;
use crate::plan::lower::lower;
use crate::plan::pattern::Fusion;
use crate::plan::placement::exported_tensor_name;
use crate::plan::program::Program;
use crate::plan::segment::{Region, Segments, is_worth_it, segment};

/// What tract multiplies with.
#[cfg(feature = "float-threads")]
fn executor(threads: usize) -> Executor {
    if threads > 1 { Executor::multithread(threads) } else { Executor::SingleThread }
}

/// What tract multiplies with: a build without its threads has one.
#[cfg(not(feature = "float-threads"))]
fn executor(_: usize) -> Executor {
    Executor::SingleThread
}

/// Most elements of a tensor: an image of 4,096 x 4,096 pixels has fewer.
const MOST_VALUES: usize = 1 << 26;
/// Most groups that may turn out to be impossible before the whole graph is left to tract.
const MOST_REFUSALS: usize = 32;

/// Prepares `proto` for an input of the shape `input`.
///
/// The checks of `model` refuse what is known to be hostile; a panic inside the engine on what they let through must
/// not end a program that runs for months, so panics become errors here.
pub(super) fn prepare(
    proto: &ModelProto,
    input: &[usize],
    options: Options,
) -> Result<Executable, EngineError> {
    guarded(|| choose(proto, input, options)).unwrap_or(Err(EngineError::PanickedPreparing))
}

fn choose(proto: &ModelProto, input: &[usize], options: Options) -> Result<Executable, EngineError> {
    match options.kernels {
        Kernels::Float => {
            without_quantization(proto, input, options).unwrap_or(Err(EngineError::NotDequantizable))
        }
        Kernels::Auto if !Tier::detect().has_dot_products() => {
            let integer = with_integers(proto, input, options)?;
            // A float model has nothing to choose from.
            if integer.report.fused_multiplications == 0 {
                return Ok(integer);
            }
            match without_quantization(proto, input, options) {
                Some(Ok(float)) => Ok(faster(integer, float)),
                _ => Ok(integer),
            }
        }
        _ => with_integers(proto, input, options),
    }
}

/// Through tract, with the quantization taken out.
fn without_quantization(
    proto: &ModelProto,
    input: &[usize],
    options: Options,
) -> Option<Result<Executable, EngineError>> {
    let float = dequantized(proto, input)?;
    let graph = GraphView::new(proto.graph.as_ref()?, input);
    Some(through_tract(&float, input, options, PlanReport::new(&graph, None, "float")))
}

fn with_integers(proto: &ModelProto, input: &[usize], options: Options) -> Result<Executable, EngineError> {
    let graph_proto = proto.graph.as_ref().ok_or(EngineError::NoGraph)?;
    let graph = GraphView::new(graph_proto, input);
    if let Some(name) = graph.larger_than(MOST_VALUES) {
        return Err(EngineError::TooLarge { name: name.to_owned(), limit: MOST_VALUES });
    }
    let by_tract = |remark: Option<String>| {
        let report = PlanReport { remark, ..PlanReport::new(&graph, None, "tract") };
        through_tract(proto, input, options, report)
    };
    let Some(tier) = options.kernels.tier() else { return by_tract(None) };
    let found = match find_regions(&graph, tier) {
        Ok(found) => found,
        Err(remark) => return by_tract(remark),
    };
    let Found { fusion, segments, programs } = found;
    let mut report = PlanReport::new(&graph, Some((&fusion, &segments)), tier.name());
    report.activation_bytes = programs.iter().map(|program| program.bytes + 4 * program.reals).sum();
    let pool = Arc::new(Pool::new(options.threads)?);
    if let ([region], [program], []) = (&*segments.regions, &*programs, &*segments.rest)
        && let Some(outputs) = order_of_outputs(graph_proto, region)
        && let [only] = *region.inputs
        && graph_proto.input.iter().any(|input| input.name == only)
    {
        let memory = Mutex::new(program.memory());
        let engine = Engine::Whole { program: Arc::clone(program), pool, memory, outputs };
        return Ok(Executable { engine, input: input.to_vec(), report: Arc::new(report) });
    }
    report.remark = Some(format!("{} nodes stay with tract", segments.rest.len()));
    let rewritten = rewrite(proto, graph_proto, &segments, &programs);
    with_regions(&rewritten, input, options, &programs, &pool, report).or_else(|fault| {
        // A graph that tract runs as it comes is never refused for what was made of it here.
        by_tract(Some(format!("its regions do not fit together ({fault})")))
    })
}

/// What of a graph integer kernels run.
struct Found<'a> {
    fusion: Fusion<'a>,
    segments: Segments<'a>,
    programs: Vec<Arc<Program>>,
}

/// Finds the regions of `graph` and lowers them for `tier`; the error says why tract runs all of it, if there is a
/// reason to report.
fn find_regions<'a>(graph: &GraphView<'a>, tier: Tier) -> Result<Found<'a>, Option<String>> {
    let mut banned = HashSet::new();
    loop {
        let fusion = fuse(graph, &banned);
        let Some(segments) = segment(graph, &fusion).filter(|_| is_worth_it(&fusion)) else {
            return Err(None);
        };
        if segments.regions.iter().any(|region| region.inputs.is_empty() && region.imports.is_empty()) {
            return Err(Some("a part of it depends on constants alone".to_owned()));
        }
        let lowered = segments.regions.iter().map(|region| lower(graph, &fusion, region, tier).map(Arc::new));
        let refusal = match lowered.collect::<Result<Vec<_>, _>>() {
            Ok(programs) => return Ok(Found { fusion, segments, programs }),
            Err(refusal) => refusal,
        };
        // The group at fault is left to tract, and the rest is tried again.
        let nodes = refusal.group.and_then(|index| fusion.groups.get(index)).map(|group| &group.nodes);
        match nodes.filter(|nodes| !nodes.is_empty() && banned.len() < MOST_REFUSALS) {
            Some(nodes) => banned.extend(nodes.iter().copied()),
            None => return Err(Some(refusal.fault.to_string())),
        }
    }
}

fn through_tract(
    proto: &ModelProto,
    input: &[usize],
    options: Options,
    report: PlanReport,
) -> Result<Executable, EngineError> {
    with_regions(proto, input, options, &[], &Arc::new(Pool::new(1)?), report)
}

fn with_regions(
    proto: &ModelProto,
    input: &[usize],
    options: Options,
    programs: &[Arc<Program>],
    pool: &Arc<Pool>,
    report: PlanReport,
) -> Result<Executable, EngineError> {
    let prepare = || {
        let mut onnx = tract_onnx::onnx();
        onnx.op_register.insert(op::OPERATOR, op::parse);
        let mut model = onnx.model_for_proto_model(proto)?.into_typed()?;
        FusedOp::attach(&mut model, programs, pool);
        model.into_optimized()?.into_runnable()
    };
    let plan = prepare().map_err(|error: TractError| EngineError::Tract(format!("{error:#}")))?;
    let executor = executor(options.threads);
    let engine = Engine::Tract { plan, executor, threads: options.threads.max(1) };
    Ok(Executable { engine, input: input.to_vec(), report: Arc::new(report) })
}

/// Runs by which two plans are compared; the fastest of each counts, which other work disturbs least.
const TRIALS: u32 = 3;

/// The plan that is faster on this processor; its report says by how much.
fn faster(integer: Executable, float: Executable) -> Executable {
    let time = |plan: &Executable| {
        let input = vec![0.0; plan.input.iter().product()];
        let trial = |_| {
            let begun = Instant::now();
            plan.run(&input, |_| Ok(())).ok().map(|()| begun.elapsed())
        };
        (0..=TRIALS).filter_map(trial).min().unwrap_or(Duration::MAX)
    };
    let times = (time(&integer), time(&float));
    let (mut chosen, what) = if times.0 <= times.1 { (integer, "integer kernels") } else { (float, "float") };
    let ms = |time: Duration| 1000.0 * time.as_secs_f64();
    let mut report = PlanReport::clone(&chosen.report);
    report.remark = Some(format!(
        "{what}, because timed here: integer kernels {:.1} ms, float {:.1} ms",
        ms(times.0),
        ms(times.1)
    ));
    chosen.report = Arc::new(report);
    chosen
}

/// For each output of the graph its number among the region's.
fn order_of_outputs(graph: &GraphProto, region: &Region<'_>) -> Option<Vec<usize>> {
    let position = |name: &str| region.outputs.iter().position(|output| *output == name);
    let order: Option<Vec<usize>> = graph.output.iter().map(|output| position(&output.name)).collect();
    order.filter(|order| order.len() <= MOST_OUTPUTS)
}

/// The graph with each region as one node.
fn rewrite(
    proto: &ModelProto,
    graph: &GraphProto,
    segments: &Segments<'_>,
    programs: &[Arc<Program>],
) -> ModelProto {
    let names = |real: &[&str], bytes: &[&str]| -> Vec<String> {
        let real = real.iter().map(|name| (*name).to_owned());
        real.chain(bytes.iter().map(|name| exported_tensor_name(name))).collect()
    };
    let mut node = Vec::new();
    for (index, (region, program)) in segments.regions.iter().zip(programs).enumerate() {
        let shapes: Vec<Vec<usize>> = program.outputs.iter().map(|(_, shape)| shape.clone()).collect();
        let inputs = names(&region.inputs, &region.imports);
        node.push(op::node(index, inputs, names(&region.outputs, &region.exports), &shapes));
    }
    node.extend(graph.node.iter().filter(|node| node.op_type == "Constant").cloned());
    node.extend(segments.rest.iter().filter_map(|index| graph.node.get(*index)).cloned());
    let rewritten = GraphProto {
        name: graph.name.clone(),
        node,
        input: graph.input.clone(),
        output: graph.output.clone(),
        ..GraphProto::default()
    };
    model_of(proto, rewritten, &graph.initializer)
}

#[cfg(test)]
mod tests;
