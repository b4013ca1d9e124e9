//! A graph made ready: as one program of integer kernels, or by tract with such programs inside it.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use comet_kernels::{Pool, Tier};
use tract_linalg::multithread::{Executor, multithread_tract_scope};
use tract_onnx::prelude::*;

use super::float::dequantized;
use super::fuse::fuse;
use super::graph::Graph;
use super::lower::lower;
use super::op::{self, FusedOp};
use super::options::{Kernels, Options};
use super::placement::travelling;
use super::program::{Memory, Program};
use super::proto::{GraphProto, ModelProto, model_of};
use super::report::PlanReport;
use super::segment::{Region, Segments, is_worth_it, segment};
use crate::guard::guarded;

/// A prepared graph with one input. [`Clone`] shares the weights.
pub(super) struct Plan {
    engine: Engine,
    input: Vec<usize>,
    report: Arc<PlanReport>,
}

enum Engine {
    /// The whole graph in one program: nothing is allocated while it runs.
    Whole { program: Arc<Program>, pool: Arc<Pool>, memory: Mutex<Memory>, outputs: Vec<usize> },
    /// Through tract.
    Tract { plan: Arc<TypedRunnableModel>, executor: Executor, threads: usize },
}

impl Clone for Plan {
    fn clone(&self) -> Self {
        let engine = match &self.engine {
            Engine::Whole { program, pool, outputs, .. } => Engine::Whole {
                program: Arc::clone(program),
                pool: Arc::clone(pool),
                memory: Mutex::new(program.memory()),
                outputs: outputs.clone(),
            },
            Engine::Tract { plan, executor, threads } => {
                Engine::Tract { plan: Arc::clone(plan), executor: executor.clone(), threads: *threads }
            }
        };
        Self { engine, input: self.input.clone(), report: Arc::clone(&self.report) }
    }
}

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

/// Most elements of a tensor: a picture of 4,096 x 4,096 pixels has fewer.
const MOST_VALUES: usize = 1 << 26;
/// Most groups that may turn out to be impossible before the whole graph is left to tract.
const MOST_REFUSALS: usize = 32;

impl Plan {
    /// Prepares `proto` for an input of the shape `input`.
    ///
    /// The checks of `model` refuse what is known to be hostile; a panic inside the engine on what they let
    /// through must not end a program that runs for months, so panics become errors here.
    pub(super) fn new(proto: &ModelProto, input: &[usize], options: Options) -> Result<Self, String> {
        guarded(|| Self::prepare(proto, input, options)).ok_or("it panicked on this graph")?
    }

    fn prepare(proto: &ModelProto, input: &[usize], options: Options) -> Result<Self, String> {
        match options.kernels {
            Kernels::Float => Self::without_quantization(proto, input, options)
                .unwrap_or_else(|| Err("its quantization cannot be taken out".to_owned())),
            Kernels::Auto if !Tier::detect().has_dot_products() => {
                let integer = Self::with_integers(proto, input, options)?;
                // A float model has nothing to choose from.
                if integer.report.fused_multiplications == 0 {
                    return Ok(integer);
                }
                match Self::without_quantization(proto, input, options) {
                    Some(Ok(float)) => Ok(faster(integer, float)),
                    _ => Ok(integer),
                }
            }
            _ => Self::with_integers(proto, input, options),
        }
    }

    /// Through tract, with the quantization taken out.
    fn without_quantization(
        proto: &ModelProto,
        input: &[usize],
        options: Options,
    ) -> Option<Result<Self, String>> {
        let float = dequantized(proto, input)?;
        let graph = Graph::new(proto.graph.as_ref()?, input);
        Some(Self::through_tract(&float, input, options, PlanReport::new(&graph, None, "float")))
    }

    fn with_integers(proto: &ModelProto, input: &[usize], options: Options) -> Result<Self, String> {
        let graph_proto = proto.graph.as_ref().ok_or("it holds no graph")?;
        let graph = Graph::new(graph_proto, input);
        if let Some(name) = graph.larger_than(MOST_VALUES) {
            return Err(format!("'{name}' would have more than {MOST_VALUES} values"));
        }
        let pool = || Pool::new(options.threads).map(Arc::new).map_err(|fault| fault.to_string());
        let Some(tier) = options.kernels.tier() else {
            return Self::through_tract(proto, input, options, PlanReport::new(&graph, None, "tract"));
        };
        let mut banned = HashSet::new();
        loop {
            let fusion = fuse(&graph, &banned);
            let Some(segments) = segment(&graph, &fusion).filter(|_| is_worth_it(&fusion)) else {
                return Self::through_tract(proto, input, options, PlanReport::new(&graph, None, "tract"));
            };
            if segments.regions.iter().any(|region| region.inputs.is_empty() && region.imports.is_empty()) {
                let mut report = PlanReport::new(&graph, None, "tract");
                report.remark = Some("a part of it depends on constants alone".to_owned());
                return Self::through_tract(proto, input, options, report);
            }
            let mut programs = Vec::new();
            let mut refusal = None;
            for region in &segments.regions {
                match lower(&graph, &fusion, region, tier) {
                    Ok(program) => programs.push(Arc::new(program)),
                    Err(found) => {
                        refusal = Some(found);
                        break;
                    }
                }
            }
            if let Some(refusal) = refusal {
                let nodes =
                    refusal.group.and_then(|index| fusion.groups.get(index)).map(|group| &group.nodes);
                if let Some(nodes) = nodes.filter(|nodes| !nodes.is_empty() && banned.len() < MOST_REFUSALS) {
                    banned.extend(nodes.iter().copied());
                    continue;
                }
                let mut report = PlanReport::new(&graph, None, "tract");
                report.remark = Some(refusal.fault.to_string());
                return Self::through_tract(proto, input, options, report);
            }
            let mut report = PlanReport::new(&graph, Some((&fusion, &segments)), tier.name());
            report.activation_bytes = programs.iter().map(|program| program.bytes + 4 * program.reals).sum();
            if let ([region], [program], []) = (&*segments.regions, &*programs, &*segments.rest)
                && let Some(outputs) = order_of_outputs(graph_proto, region)
                && let [only] = *region.inputs
                && graph_proto.input.iter().any(|input| input.name == only)
            {
                let memory = Mutex::new(program.memory());
                let engine = Engine::Whole { program: Arc::clone(program), pool: pool()?, memory, outputs };
                return Ok(Self { engine, input: input.to_vec(), report: Arc::new(report) });
            }
            report.remark = Some(format!("{} nodes stay with tract", segments.rest.len()));
            let rewritten = rewrite(proto, graph_proto, &segments, &programs);
            return Self::with_regions(&rewritten, input, options, &programs, &pool()?, report);
        }
    }

    fn through_tract(
        proto: &ModelProto,
        input: &[usize],
        options: Options,
        report: PlanReport,
    ) -> Result<Self, String> {
        let pool = Arc::new(Pool::new(1).map_err(|fault| fault.to_string())?);
        Self::with_regions(proto, input, options, &[], &pool, report)
    }

    fn with_regions(
        proto: &ModelProto,
        input: &[usize],
        options: Options,
        programs: &[Arc<Program>],
        pool: &Arc<Pool>,
        report: PlanReport,
    ) -> Result<Self, String> {
        let prepare = || {
            let mut onnx = tract_onnx::onnx();
            onnx.op_register.insert(op::OPERATOR, op::parse);
            let mut model = onnx.model_for_proto_model(proto)?.into_typed()?;
            FusedOp::attach(&mut model, programs, pool);
            model.into_optimized()?.into_runnable()
        };
        let plan = prepare().map_err(|error| format!("{error:#}"))?;
        let executor = executor(options.threads);
        let engine = Engine::Tract { plan, executor, threads: options.threads.max(1) };
        Ok(Self { engine, input: input.to_vec(), report: Arc::new(report) })
    }

    /// Threads that work on one picture.
    pub(super) fn threads(&self) -> usize {
        match &self.engine {
            Engine::Whole { pool, .. } => pool.threads(),
            Engine::Tract { .. } if !cfg!(feature = "float-threads") => 1,
            Engine::Tract { threads, .. } => *threads,
        }
    }

    /// What became of each node.
    pub(super) fn report(&self) -> &PlanReport {
        &self.report
    }

    /// Runs the graph and hands its outputs, in the graph's order, to `take`.
    pub(super) fn run<T>(
        &self,
        input: &[f32],
        take: impl FnOnce(&[&[f32]]) -> Result<T, String>,
    ) -> Result<T, String> {
        guarded(|| self.run_guarded(input, take))
            .unwrap_or_else(|| Err("it panicked while running".to_owned()))
    }

    fn run_guarded<T>(
        &self,
        input: &[f32],
        take: impl FnOnce(&[&[f32]]) -> Result<T, String>,
    ) -> Result<T, String> {
        match &self.engine {
            Engine::Whole { program, pool, memory, outputs } => {
                let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
                program.run(pool, &mut memory, &[input], None).map_err(|fault| fault.to_string())?;
                let mut slices: [&[f32]; MOST_OUTPUTS] = [&[]; MOST_OUTPUTS];
                for (slice, index) in slices.iter_mut().zip(outputs) {
                    let empty: Range<usize> = 0..0;
                    *slice = memory.reals(program.outputs.get(*index).map_or(&empty, |output| &output.0));
                }
                take(slices.get(..outputs.len()).unwrap_or_default())
            }
            Engine::Tract { plan, executor, .. } => {
                let text = |error: TractError| format!("{error:#}");
                let input = Tensor::from_shape(&self.input, input).map_err(text)?;
                let run = || plan.run(tvec!(input.into_tvalue()));
                let outputs = multithread_tract_scope(executor.clone(), run).map_err(text)?;
                let views: Vec<_> = outputs
                    .iter()
                    .map(|output| output.to_plain_array_view::<f32>())
                    .collect::<TractResult<_>>()
                    .map_err(text)?;
                let slices: Option<Vec<&[f32]>> = views.iter().map(|view| view.as_slice()).collect();
                take(&slices.ok_or("an output is not contiguous")?)
            }
        }
    }

    /// The name and duration of every kernel call of one run, where the whole graph is one program.
    pub(super) fn profile(&self, input: &[f32]) -> Result<Vec<(String, Duration)>, String> {
        let Engine::Whole { program, pool, memory, .. } = &self.engine else { return Ok(Vec::new()) };
        let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
        let mut times = Vec::with_capacity(program.steps.len());
        program.run(pool, &mut memory, &[input], Some(&mut times)).map_err(|fault| fault.to_string())?;
        Ok(program.names.iter().cloned().zip(times).collect())
    }
}

/// Runs by which two plans are compared; the fastest of each counts, which other work disturbs least.
const TRIALS: u32 = 3;

/// The plan that is faster on this processor; its report says by how much.
fn faster(integer: Plan, float: Plan) -> Plan {
    let time = |plan: &Plan| {
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

/// More outputs than a COMET graph has; with more, a graph goes through tract.
const MOST_OUTPUTS: usize = 4;

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
        real.chain(bytes.iter().map(|name| travelling(name))).collect()
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
