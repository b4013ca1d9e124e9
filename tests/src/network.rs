//! A look into Burn modules: every tensor by its path.

use std::collections::BTreeMap;

use anyhow::bail;
use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

/// Values by path, such as `backbone.blocks.0.depthwise.conv.weight`; the last dimension is the fastest.
pub type Tensors = BTreeMap<String, Vec<f32>>;

/// The parameters of a module and the running statistics of its BatchNorms.
pub fn tensors<M: Module>(module: &M) -> anyhow::Result<Tensors> {
    walk(module, None)
}

/// The gradients of a module's parameters; parameters without a gradient are left out.
pub fn gradients<M: Module>(module: &M, gradients: &GradientsParams) -> anyhow::Result<Tensors> {
    walk(module, Some(gradients))
}

fn walk<M: Module>(module: &M, gradients: Option<&GradientsParams>) -> anyhow::Result<Tensors> {
    let mut walk = Walk { path: Vec::new(), gradients, found: Tensors::new(), faults: Vec::new() };
    module.visit(&mut walk);
    if !walk.faults.is_empty() {
        bail!("tensors that cannot be read: {}", walk.faults.join(", "));
    }
    Ok(walk.found)
}

struct Walk<'a> {
    path: Vec<String>,
    gradients: Option<&'a GradientsParams>,
    found: Tensors,
    faults: Vec<String>,
}

impl ModuleVisitor for Walk<'_> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        // The kinds of networks are no part of a tensor's name.
        if !container_type.starts_with("Enum:") {
            self.path.push(name.to_owned());
        }
    }

    fn exit_module(&mut self, _name: &str, container_type: &str) {
        if !container_type.starts_with("Enum:") {
            self.path.pop();
        }
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tensor: Option<Tensor<D>> = match self.gradients {
            None => Some(param.val()),
            Some(gradients) => gradients.get::<D>(param.id),
        };
        let Some(tensor) = tensor else { return };
        let path = self.path.join(".");
        match tensor.into_data().try_to_vec::<f32>() {
            Ok(values) => {
                self.found.insert(path, values);
            }
            Err(error) => self.faults.push(format!("{path} ({error:?})")),
        }
    }
}
