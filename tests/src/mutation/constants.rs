//! Constants that are broken: scales, zero points, weights, biases, sizes.

use comet_onnx::proto::{GraphProto, TensorProto};

use super::{pick, some_tensor};
use crate::random::SplitMix64;
use crate::surgery::{bytes_of, constant, reals, set_raw, set_reals, wholes};

const FLOAT: i32 = 1;
const UINT8: i32 = 2;
const INT8: i32 = 3;
const INT32: i32 = 6;
const INT64: i32 = 7;

fn is_float(tensor: &TensorProto) -> bool {
    tensor.data_type == FLOAT
}

fn is_weight(tensor: &TensorProto) -> bool {
    matches!(tensor.data_type, UINT8 | INT8) && tensor.dims.len() >= 2
}

fn spoil(tensor: &mut TensorProto, random: &mut SplitMix64) -> Option<()> {
    const SCALES: [f32; 10] = [
        0.0,
        -0.0,
        f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        -1.0,
        1e-42,
        f32::MIN_POSITIVE,
        1e30,
        f32::MAX,
    ];
    let mut values = reals(tensor);
    let place = random.below(values.len());
    *values.get_mut(place)? = pick(random, &SCALES)?;
    let dims = tensor.dims.clone();
    set_reals(tensor, &dims, &values);
    Some(())
}

pub(super) fn scale(graph: &mut GraphProto, random: &mut SplitMix64) -> Option<()> {
    let index = some_tensor(graph, random, is_float)?;
    spoil(&mut graph.initializer[index], random)
}

/// Constants that are nodes are not seen by the checks of initializers.
pub(super) fn scale_as_node(graph: &mut GraphProto, random: &mut SplitMix64) -> Option<()> {
    let index = some_tensor(graph, random, is_float)?;
    let mut tensor = graph.initializer.remove(index);
    spoil(&mut tensor, random)?;
    graph.node.insert(0, constant(tensor));
    Some(())
}

pub(super) fn zero_point(graph: &mut GraphProto, random: &mut SplitMix64) -> Option<()> {
    let scalar = |tensor: &TensorProto| tensor.dims.iter().product::<i64>() <= 1;
    let index = some_tensor(graph, random, |t| matches!(t.data_type, UINT8 | INT8) && scalar(t))?;
    let value = pick(random, &[0u8, 1, 127, 128, 200, 255])?;
    let kind = pick(random, &[FLOAT, UINT8, INT8, INT32, INT64])?;
    let raw = match kind {
        FLOAT => f32::from(value).to_le_bytes().to_vec(),
        INT32 => i32::from(value).to_le_bytes().to_vec(),
        INT64 => i64::from(value).to_le_bytes().to_vec(),
        _ => vec![value],
    };
    let tensor = &mut graph.initializer[index];
    let dims = tensor.dims.clone();
    set_raw(tensor, kind, dims, raw);
    Some(())
}

pub(super) fn number_of_scales(graph: &mut GraphProto, random: &mut SplitMix64) -> Option<()> {
    let index = some_tensor(graph, random, |tensor| is_float(tensor) && tensor.dims.len() == 1)?;
    let tensor = &mut graph.initializer[index];
    let mut values = reals(tensor);
    let count = pick(random, &[0, 1, values.len().saturating_sub(1), values.len() + 1, 4096])?;
    values.resize(count, 1.0);
    set_reals(tensor, &[count as i64], &values);
    Some(())
}

pub(super) fn bias(graph: &mut GraphProto, random: &mut SplitMix64) -> Option<()> {
    let index = some_tensor(graph, random, |tensor| tensor.data_type == INT32 && tensor.dims.len() == 1)?;
    let tensor = &mut graph.initializer[index];
    let mut values = wholes(tensor);
    let place = random.below(values.len());
    *values.get_mut(place)? =
        pick(random, &[i32::MIN, i32::MIN + 1, -(1 << 30), 1 << 30, i32::MAX - 1, i32::MAX])?;
    let dims = tensor.dims.clone();
    set_raw(tensor, INT32, dims, bytes_of(&values));
    Some(())
}

pub(super) fn dimensions(graph: &mut GraphProto, random: &mut SplitMix64) -> Option<()> {
    let index = some_tensor(graph, random, is_weight)?;
    let dims = &mut graph.initializer[index].dims;
    let (first, second) = (random.below(dims.len()), random.below(dims.len()));
    match random.below(6) {
        0 => dims.swap(first, second),
        1 => dims[first] = 0,
        2 => dims[first] = -1,
        3 => dims[first] *= 2,
        4 => dims.reverse(),
        _ => {
            dims.remove(first);
        }
    }
    Some(())
}

pub(super) fn type_of_weights(graph: &mut GraphProto, random: &mut SplitMix64) -> Option<()> {
    let index = some_tensor(graph, random, is_weight)?;
    graph.initializer[index].data_type = pick(random, &[FLOAT, UINT8, INT8, INT32])?;
    Some(())
}

pub(super) fn size(graph: &mut GraphProto, random: &mut SplitMix64) -> Option<()> {
    let index = some_tensor(graph, random, |tensor| tensor.data_type == INT64)?;
    let (place, side) = (2 + random.below(2), pick(random, &[-1i64, 0, 1, 7, 31, 33, 1024])?);
    let raw = &mut graph.initializer[index].raw_data;
    raw.get_mut(8 * place..8 * place + 8)?.copy_from_slice(&side.to_le_bytes());
    Some(())
}
