//! A graph prepared by tract, with every fault turned into a message.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tract_linalg::multithread::{Executor, multithread_tract_scope};
use tract_onnx::prelude::*;

use super::proto::ModelProto;

/// A prepared graph with one input. [`Clone`] shares the weights.
#[derive(Clone)]
pub(super) struct Plan {
    plan: Arc<TypedRunnableModel>,
    executor: Executor,
    input: Vec<usize>,
}

impl Plan {
    /// Prepares `proto` for an input of the shape `input` and `threads` threads inside each run.
    ///
    /// The checks of `model` refuse what is known to be hostile; a panic inside the engine on what they let
    /// through must not end a program that runs for months, so panics become errors here.
    pub(super) fn new(proto: &ModelProto, input: &[usize], threads: usize) -> Result<Self, String> {
        let prepare = || tract_onnx::onnx().model_for_proto_model(proto)?.into_optimized()?.into_runnable();
        let plan = catch_unwind(AssertUnwindSafe(prepare))
            .map_err(|_| "it panicked on this graph".to_owned())?
            .map_err(|error| format!("{error:#}"))?;
        let executor = match threads {
            0 | 1 => Executor::SingleThread,
            _ => Executor::multithread(threads),
        };
        Ok(Self { plan, executor, input: input.to_vec() })
    }

    /// Runs the graph; the outputs come in the graph's order.
    pub(super) fn run(&self, input: &[f32]) -> Result<Vec<Vec<f32>>, String> {
        let run = || multithread_tract_scope(self.executor.clone(), || self.run_plan(input));
        catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| Err("it panicked while running".to_owned()))
    }

    fn run_plan(&self, input: &[f32]) -> Result<Vec<Vec<f32>>, String> {
        let text = |error: TractError| format!("{error:#}");
        let input = Tensor::from_shape(&self.input, input).map_err(text)?;
        let outputs = self.plan.run(tvec!(input.into_tvalue())).map_err(text)?;
        let values = outputs.iter().map(|output| {
            let view = output.to_plain_array_view::<f32>().map_err(text)?;
            Ok(view.iter().copied().collect())
        });
        values.collect()
    }
}
