//! Attributes of nodes.

use crate::proto::attribute_proto::AttributeType;
use crate::proto::{AttributeProto, NodeProto};

/// Makes an attribute that holds a float.
pub fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto { f: value, ..empty(name, AttributeType::Float) }
}

/// Makes an attribute that holds an integer.
pub fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { i: value, ..empty(name, AttributeType::Int) }
}

/// Makes an attribute that holds a list of integers.
pub fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto { ints: values.to_vec(), ..empty(name, AttributeType::Ints) }
}

/// Makes an attribute that holds a text.
pub fn text(name: &str, value: &str) -> AttributeProto {
    AttributeProto { s: value.as_bytes().to_vec(), ..empty(name, AttributeType::String) }
}

fn empty(name: &str, kind: AttributeType) -> AttributeProto {
    AttributeProto { name: name.to_owned(), r#type: kind as i32, ..AttributeProto::default() }
}

/// The attribute `name` of `node`.
pub fn find<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name == name)
}

/// A float attribute of `node`.
pub fn float_of(node: &NodeProto, name: &str) -> Option<f32> {
    find(node, name).map(|attribute| attribute.f)
}

/// An integer attribute of `node`.
pub fn int_of(node: &NodeProto, name: &str) -> Option<i64> {
    find(node, name).map(|attribute| attribute.i)
}

/// A list attribute of `node`; empty if it has none of this name.
pub fn ints_of<'a>(node: &'a NodeProto, name: &str) -> &'a [i64] {
    find(node, name).map(|attribute| attribute.ints.as_slice()).unwrap_or_default()
}

/// Whether a text attribute of `node` is absent or one of `values`.
pub fn text_is(node: &NodeProto, name: &str, values: &[&str]) -> bool {
    find(node, name).is_none_or(|found| values.iter().any(|value| value.as_bytes() == found.s))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_found_by_name_and_absent_ones_have_no_value() {
        let attribute =
            vec![float("alpha", 0.5), int("axis", -1), text("mode", "linear"), ints("strides", &[2, 1])];
        let node = NodeProto { attribute, ..NodeProto::default() };
        assert_eq!(float_of(&node, "alpha"), Some(0.5));
        assert_eq!(int_of(&node, "axis"), Some(-1));
        assert_eq!((float_of(&node, "beta"), int_of(&node, "group")), (None, None));
        assert_eq!(ints_of(&node, "strides"), [2, 1]);
        assert!(ints_of(&node, "pads").is_empty());
        assert!(text_is(&node, "mode", &["cubic", "linear"]) && !text_is(&node, "mode", &["nearest"]));
        assert!(text_is(&node, "auto_pad", &[]));
    }
}
