//! A graph made ready: as one program of integer kernels, or by tract with such programs inside it.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use comet_kernels::Pool;
use tract_linalg::multithread::{Executor, multithread_tract_scope};
use tract_onnx::prelude::*;

use super::error::EngineError;
use super::report::PlanReport;
use crate::guard::guarded;
use crate::plan::program::{Memory, Program};

/// A prepared graph with one input. [`Clone`] shares the weights.
pub(crate) struct Executable {
    pub(super) engine: Engine,
    pub(super) input: Vec<usize>,
    pub(super) report: Arc<PlanReport>,
}

pub(super) enum Engine {
    /// The whole graph in one program: nothing is allocated while it runs.
    Whole { program: Arc<Program>, pool: Arc<Pool>, memory: Mutex<Memory>, outputs: Vec<usize> },
    /// Through tract.
    Tract { plan: Arc<TypedRunnableModel>, executor: Executor, threads: usize },
}

impl Clone for Executable {
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

/// More outputs than a COMET graph has; with more, a graph goes through tract.
pub(super) const MOST_OUTPUTS: usize = 4;

impl Executable {
    /// Threads that work on one image.
    pub(crate) fn threads(&self) -> usize {
        match &self.engine {
            Engine::Whole { pool, .. } => pool.threads(),
            Engine::Tract { .. } if !cfg!(feature = "float-threads") => 1,
            Engine::Tract { threads, .. } => *threads,
        }
    }

    /// What became of each node.
    pub(crate) fn report(&self) -> &PlanReport {
        &self.report
    }

    /// Runs the graph and hands its outputs, in the graph's order, to `take`.
    pub(crate) fn run<T>(
        &self,
        input: &[f32],
        take: impl FnOnce(&[&[f32]]) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        guarded(|| self.run_guarded(input, take)).unwrap_or(Err(EngineError::PanickedRunning))
    }

    fn run_guarded<T>(
        &self,
        input: &[f32],
        take: impl FnOnce(&[&[f32]]) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        match &self.engine {
            Engine::Whole { program, pool, memory, outputs } => {
                let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
                program.run(pool, &mut memory, &[input], None)?;
                let mut slices: [&[f32]; MOST_OUTPUTS] = [&[]; MOST_OUTPUTS];
                for (slice, index) in slices.iter_mut().zip(outputs) {
                    let empty: Range<usize> = 0..0;
                    *slice = memory.reals(program.outputs.get(*index).map_or(&empty, |output| &output.0));
                }
                take(slices.get(..outputs.len()).unwrap_or_default())
            }
            Engine::Tract { plan, executor, .. } => {
                let text = |error: TractError| EngineError::Tract(format!("{error:#}"));
                let input = Tensor::from_shape(&self.input, input).map_err(text)?;
                let run = || plan.run(tvec!(input.into_tvalue()));
                let outputs = multithread_tract_scope(executor.clone(), run).map_err(text)?;
                let views: Vec<_> = outputs
                    .iter()
                    .map(|output| output.to_plain_array_view::<f32>())
                    .collect::<TractResult<_>>()
                    .map_err(text)?;
                let slices: Option<Vec<&[f32]>> = views.iter().map(|view| view.as_slice()).collect();
                take(&slices.ok_or(EngineError::NotContiguous)?)
            }
        }
    }

    /// The name and duration of every kernel call of one run, where the whole graph is one program.
    pub(crate) fn profile(&self, input: &[f32]) -> Result<Vec<(String, Duration)>, EngineError> {
        let Engine::Whole { program, pool, memory, .. } = &self.engine else { return Ok(Vec::new()) };
        let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
        let mut times = Vec::with_capacity(program.steps.len());
        program.run(pool, &mut memory, &[input], Some(&mut times))?;
        Ok(program.names.iter().cloned().zip(times).collect())
    }
}
