//! A fused region as an operator of tract, for graphs that are not fused as a whole.

use std::sync::Arc;

use comet_kernels::Pool;
use comet_onnx::attribute::int_of;
use comet_onnx::proto::{AttributeProto, NodeProto};
use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_hir::infer::{InferenceOp, InferenceResult, Solver, TensorProxy};
use tract_onnx::tract_hir::ops::expandable::{Expansion, expand};

use crate::plan::program::{Memory, Program};

/// The operator's name in a rewritten graph; no file can use it, because the checks refuse unknown operators.
pub(super) const OPERATOR: &str = "CometRegion";

/// A node for region number `index`.
pub(super) fn node(
    index: usize,
    inputs: Vec<String>,
    outputs: Vec<String>,
    shapes: &[Vec<usize>],
) -> NodeProto {
    let integers = |name: String, ints: Vec<i64>| AttributeProto { name, ints, ..AttributeProto::default() };
    let sides = |shape: &Vec<usize>| shape.iter().map(|side| *side as i64).collect();
    let mut attribute: Vec<AttributeProto> = shapes
        .iter()
        .enumerate()
        .map(|(index, shape)| integers(format!("shape{index}"), sides(shape)))
        .collect();
    attribute.push(AttributeProto { name: "index".into(), i: index as i64, ..AttributeProto::default() });
    NodeProto {
        name: format!("region{index}"),
        op_type: OPERATOR.into(),
        input: inputs,
        output: outputs,
        attribute,
        ..NodeProto::default()
    }
}

/// Makes the operator from its node; the program comes later, with [`FusedOp::attach`].
pub(super) fn parse(
    _: &tract_onnx::model::ParsingContext<'_>,
    node: &NodeProto,
) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let index = int_of(node, "index").and_then(|index| usize::try_from(index).ok());
    let shape = |number: usize| -> Option<Vec<usize>> {
        let found = node.attribute.iter().find(|a| a.name == format!("shape{number}"))?;
        found.ints.iter().map(|side| usize::try_from(*side).ok()).collect()
    };
    let shapes: Option<Vec<Vec<usize>>> = (0..node.output.len()).map(shape).collect();
    let shapes = shapes.context("a region without shapes")?;
    let op = FusedOp { index: index.context("a region without a number")?, shapes, program: None };
    Ok((expand(Unwired(op)), vec![]))
}

/// The operator while tract still infers shapes.
#[derive(Clone, Debug)]
struct Unwired(FusedOp);

impl Expansion for Unwired {
    fn name(&self) -> StaticName {
        OPERATOR.into()
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(self.0.shapes.len())
    }

    /// Without its program it cannot run, not even on constants.
    fn runs_out_of_plan(&self) -> bool {
        false
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        model.wire_node(prefix, self.0.clone(), inputs)
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        _: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        for (output, shape) in outputs.iter().zip(&self.0.shapes) {
            s.equals(&output.datum_type, f32::datum_type())?;
            let shape: TVec<TDim> = shape.iter().map(|side| side.to_dim()).collect();
            s.equals(&output.shape, shape)?;
        }
        Ok(())
    }
}

/// One region inside a tract model.
#[derive(Clone, Debug)]
pub(super) struct FusedOp {
    index: usize,
    shapes: Vec<Vec<usize>>,
    program: Option<(Arc<Program>, Arc<Pool>)>,
}

impl PartialEq for FusedOp {
    fn eq(&self, other: &Self) -> bool {
        self.index == other.index && self.shapes == other.shapes
    }
}

impl Eq for FusedOp {}

impl FusedOp {
    /// Gives every region of `model` its program.
    pub(super) fn attach(model: &mut TypedModel, programs: &[Arc<Program>], pool: &Arc<Pool>) {
        for node in model.nodes_mut() {
            if let Some(op) = node.op_as_mut::<Self>() {
                op.program = programs.get(op.index).map(|program| (Arc::clone(program), Arc::clone(pool)));
            }
        }
    }
}

impl Op for FusedOp {
    fn name(&self) -> StaticName {
        OPERATOR.into()
    }

    op_as_typed_op!();
}

impl EvalOp for FusedOp {
    not_out_of_plan!();

    fn state(&self, _: &EvalContext<'_>) -> TractResult<Option<Box<dyn OpState>>> {
        let memory = self.program.as_ref().map(|(program, _)| program.memory());
        Ok(Some(Box::new(FusedState { memory: memory.unwrap_or_default() })))
    }
}

impl TypedOp for FusedOp {
    fn output_facts(&self, _: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(self.shapes.iter().map(f32::fact).collect())
    }

    as_op!();
}

#[derive(Clone, Debug)]
struct FusedState {
    memory: Memory,
}

impl OpState for FusedState {
    fn eval(&mut self, _: &EvalContext<'_>, op: &dyn Op, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let op = op.downcast_ref::<FusedOp>().context("the state of another operator")?;
        let (program, pool) = op.program.as_ref().context("a region without its program")?;
        let views: Vec<_> =
            inputs.iter().map(|input| input.to_plain_array_view::<f32>()).collect::<TractResult<_>>()?;
        let slices: Option<Vec<&[f32]>> = views.iter().map(|view| view.as_slice()).collect();
        program.run(pool, &mut self.memory, &slices.context("an input that is not contiguous")?, None)?;
        let outputs = program
            .outputs
            .iter()
            .map(|(place, shape)| Ok(Tensor::from_shape(shape, self.memory.reals(place))?.into_tvalue()));
        outputs.collect()
    }

    fn reset_lanes(&mut self, _: &[tract_onnx::tract_core::internal::LaneId]) -> TractResult<()> {
        Ok(())
    }
}
