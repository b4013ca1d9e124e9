//! The state of the search for patterns.

use std::collections::{HashMap, HashSet};

use comet_kernels::Quantization;
use comet_onnx::GraphView;
use comet_onnx::proto::NodeProto;

use super::pattern::{Bytes, Group};

pub(crate) struct Finder<'g, 'a> {
    pub(crate) graph: &'g GraphView<'a>,
    /// Nodes that turned out to be impossible.
    pub(crate) banned: &'g HashSet<usize>,
    pub(crate) bytes: HashMap<&'a str, Bytes>,
    pub(crate) groups: Vec<Group<'a>>,
    /// Nodes that are part of a group.
    pub(crate) taken: HashSet<usize>,
}

impl<'a> Finder<'_, 'a> {
    /// Scale and zero point of a `QuantizeLinear` or `DequantizeLinear` of a whole tensor. Signed bytes are seen as
    /// unsigned ones with both byte and zero point moved by 128.
    pub(crate) fn quantization(&self, node: &NodeProto) -> Option<Quantization> {
        let [scale] = *self.graph.floats(node.input.get(1)?)? else { return None };
        let zero_point = match node.input.get(2).filter(|name| !name.is_empty()) {
            None => 0,
            Some(name) => {
                let [zero_point] = *self.graph.integers(name)? else { return None };
                let moved =
                    if self.graph.constant(name)?.data_type == 3 { zero_point + 128 } else { zero_point };
                u8::try_from(moved).ok()?
            }
        };
        Quantization::new(scale, zero_point).ok()
    }

    /// The bytes behind a dequantized value.
    pub(crate) fn behind(&self, value: &str) -> Option<&'a str> {
        let (_, node) = self.graph.maker(value).filter(|(_, node)| node.op_type == "DequantizeLinear")?;
        let name = node.input.first()?.as_str();
        self.bytes.contains_key(name).then_some(name)
    }
}
