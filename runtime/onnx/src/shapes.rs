//! The shapes of a graph's values, followed from the input.

use std::collections::HashMap;

use crate::proto::{NodeProto, TensorProto};
use crate::windows::windows;
use crate::{attribute, tensor};

/// What is known of a graph's values before it runs.
pub(crate) struct Known<'a> {
    pub(crate) constants: HashMap<&'a str, &'a TensorProto>,
    pub(crate) shapes: HashMap<&'a str, Vec<usize>>,
}

impl<'a> Known<'a> {
    pub(crate) fn shape(&self, value: &str) -> Option<&[usize]> {
        self.shapes.get(value).map(Vec::as_slice)
    }

    pub(crate) fn constant(&self, value: &str) -> Option<&'a TensorProto> {
        self.constants.get(value).copied()
    }

    /// Follows the shapes through `nodes`, which stand in the order of execution.
    pub(crate) fn infer_all(&mut self, nodes: &'a [NodeProto]) {
        for node in nodes {
            let Some(output) = node.output.first() else { continue };
            if let Some(shape) = self.infer(node).filter(|shape| shape.iter().all(|side| *side > 0)) {
                self.shapes.insert(output, shape);
            }
        }
    }

    /// The shape that `node` gives. Only what can be part of a fused region needs to be known here.
    fn infer(&self, node: &NodeProto) -> Option<Vec<usize>> {
        let shape = |index: usize| self.shape(node.input.get(index)?);
        let constant = |index: usize| -> Option<Vec<usize>> {
            let tensor = self.constant(node.input.get(index)?)?;
            tensor.dims.iter().map(|side| usize::try_from(*side).ok()).collect()
        };
        match node.op_type.as_str() {
            "QuantizeLinear" | "Relu" | "Clip" | "HardSwish" | "HardSigmoid" | "Sigmoid" | "Identity" => {
                Some(shape(0)?.to_vec())
            }
            "DequantizeLinear" => shape(0).map(<[usize]>::to_vec).or_else(|| constant(0)),
            "Add" | "Mul" | "Sub" | "Div" => broadcast(shape(0)?, shape(1)?),
            "Conv" | "QLinearConv" => {
                let index = if node.op_type == "Conv" { 1 } else { 3 };
                let weight = shape(index).map(<[usize]>::to_vec).or_else(|| constant(index))?;
                let [outputs, _, rows, columns] = <[usize; 4]>::try_from(weight).ok()?;
                let [height, width] = windows(node, Some([rows, columns]))?.output(shape(0)?)?;
                Some(vec![1, outputs, height, width])
            }
            "MaxPool" | "AveragePool" => {
                let channels = *shape(0)?.get(1)?;
                let [height, width] = windows(node, None)?.output(shape(0)?)?;
                Some(vec![1, channels, height, width])
            }
            "GlobalAveragePool" => match *shape(0)? {
                [1, channels, _, _] => Some(vec![1, channels, 1, 1]),
                _ => None,
            },
            "Flatten" if attribute::int_of(node, "axis").unwrap_or(1) == 1 => match shape(0)? {
                [1, rest @ ..] => Some(vec![1, rest.iter().product()]),
                _ => None,
            },
            "Gemm" => {
                let weight = shape(1).map(<[usize]>::to_vec).or_else(|| constant(1))?;
                let [rows, columns] = <[usize; 2]>::try_from(weight).ok()?;
                Some(vec![1, if attribute::int_of(node, "transB") == Some(1) { rows } else { columns }])
            }
            "Resize" => self.infer_resize(node),
            _ => None,
        }
    }

    fn infer_resize(&self, node: &NodeProto) -> Option<Vec<usize>> {
        let input = self.shape(node.input.first()?)?;
        if let Some(sizes) = node.input.get(3).and_then(|name| self.constant(name).and_then(tensor::integers))
        {
            return sizes.into_iter().map(|side| usize::try_from(side).ok()).collect();
        }
        let scales = tensor::floats(self.constant(node.input.get(2)?)?)?;
        let scaled = |(side, scale): (&usize, &f32)| (*side as f32 * scale).floor() as usize;
        (scales.len() == input.len()).then(|| input.iter().zip(&scales).map(scaled).collect())
    }
}

fn broadcast(left: &[usize], right: &[usize]) -> Option<Vec<usize>> {
    if left.len() != right.len() {
        return None;
    }
    let side = |(left, right): (&usize, &usize)| match (*left, *right) {
        (left, right) if left == right => Some(left),
        (1, side) | (side, 1) => Some(side),
        _ => None,
    };
    left.iter().zip(right).map(side).collect()
}
