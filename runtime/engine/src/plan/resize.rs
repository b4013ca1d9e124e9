//! Which resizes the kernels can run, on bytes or on real numbers.

use comet_onnx::attribute::{int_of, text_is};
use comet_onnx::proto::NodeProto;

use super::finder::Finder;

impl Finder<'_, '_> {
    /// Whether a `Resize` is bilinear between half-pixel centres, and changes nothing but rows and columns.
    pub(crate) fn is_bilinear(&self, node: &NodeProto) -> Option<bool> {
        let (input, output) = (node.input.first()?, node.output.first()?);
        let ([channels, ..], [others, ..]) = (self.graph.image(input)?, self.graph.image(output)?);
        let modes = text_is(node, "mode", &["linear"])
            && text_is(node, "coordinate_transformation_mode", &["half_pixel"])
            && node.attribute.iter().any(|a| a.name == "mode")
            && int_of(node, "antialias").unwrap_or(0) == 0
            && int_of(node, "exclude_outside").unwrap_or(0) == 0
            && !node.attribute.iter().any(|a| a.name == "axes")
            && text_is(node, "keep_aspect_ratio_policy", &["stretch"]);
        Some(modes && channels == others && self.is_exact(node)? && self.graph.shape(output)?.len() == 4)
    }

    /// Whether a Resize goes by sizes, or by scales that give whole sides: others move the centres of the pixels.
    fn is_exact(&self, node: &NodeProto) -> Option<bool> {
        let Some(scales) = node.input.get(2).filter(|name| !name.is_empty()) else { return Some(true) };
        let input = self.graph.shape(node.input.first()?)?;
        let whole = |(side, scale): (&usize, f32)| (*side as f32 * scale).fract() == 0.0;
        Some(input.iter().zip(self.graph.floats(scales)?).all(whole))
    }
}
