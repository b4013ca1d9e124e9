//! The values of stored tensors.
//!
//! The format keeps values either as raw little-endian bytes or in a list of numbers, a list of its own for each type.
//! Each function reads both, and gives `None` for a tensor of another type or whose list holds a value that the type
//! cannot.

use crate::proto::TensorProto;
use crate::proto::tensor_proto::DataType;

/// 32-bit floats.
pub fn floats(tensor: &TensorProto) -> Option<Vec<f32>> {
    if tensor.data_type != DataType::Float as i32 {
        return None;
    }
    let (words, _) = tensor.raw_data.as_chunks::<4>();
    let raw = words.iter().map(|word| f32::from_le_bytes(*word));
    Some(tensor.float_data.iter().copied().chain(raw).collect())
}

/// Integers of 8, 32 or 64 bits.
pub fn integers(tensor: &TensorProto) -> Option<Vec<i64>> {
    let raw = tensor.raw_data.as_slice();
    let narrow = tensor.int32_data.iter().map(|value| i64::from(*value));
    Some(match kind(tensor)? {
        DataType::Uint8 => narrow.chain(raw.iter().map(|byte| i64::from(*byte))).collect(),
        DataType::Int8 => narrow.chain(raw.iter().map(|byte| i64::from(byte.cast_signed()))).collect(),
        DataType::Int32 => {
            let words = raw.as_chunks::<4>().0.iter();
            narrow.chain(words.map(|word| i64::from(i32::from_le_bytes(*word)))).collect()
        }
        DataType::Int64 => {
            let words = raw.as_chunks::<8>().0.iter();
            tensor.int64_data.iter().copied().chain(words.map(|word| i64::from_le_bytes(*word))).collect()
        }
        _ => return None,
    })
}

/// Signed bytes; unsigned ones are moved by 128, as the zero points are that come with them.
pub fn signed_bytes(tensor: &TensorProto) -> Option<Vec<i8>> {
    let narrow = tensor.int32_data.iter();
    let raw = tensor.raw_data.iter();
    match kind(tensor)? {
        DataType::Int8 => {
            let narrow: Option<Vec<i8>> = narrow.map(|value| i8::try_from(*value).ok()).collect();
            Some(narrow?.into_iter().chain(raw.map(|byte| byte.cast_signed())).collect())
        }
        DataType::Uint8 => {
            let narrow: Option<Vec<u8>> = narrow.map(|value| u8::try_from(*value).ok()).collect();
            let all = narrow?.into_iter().chain(raw.copied());
            Some(all.map(|byte| (byte ^ 0x80).cast_signed()).collect())
        }
        _ => None,
    }
}

/// Whether all values of a tensor of 32-bit floats are finite numbers; true for a tensor of another type.
pub fn is_finite(tensor: &TensorProto) -> bool {
    let (words, _) = tensor.raw_data.as_chunks::<4>();
    let mut raw = words.iter().map(|word| f32::from_le_bytes(*word));
    let mut listed = tensor.float_data.iter().copied();
    tensor.data_type != DataType::Float as i32 || (raw.all(f32::is_finite) && listed.all(f32::is_finite))
}

fn kind(tensor: &TensorProto) -> Option<DataType> {
    DataType::try_from(tensor.data_type).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(kind: DataType) -> TensorProto {
        TensorProto { data_type: kind as i32, ..TensorProto::default() }
    }

    #[test]
    fn raw_bytes_and_lists_give_the_same_values() {
        let listed = TensorProto { float_data: vec![1.5, -2.0], ..tensor(DataType::Float) };
        let bytes = [1.5f32, -2.0].iter().flat_map(|value| value.to_le_bytes()).collect();
        let raw = TensorProto { raw_data: bytes, ..tensor(DataType::Float) };
        assert_eq!(floats(&listed), floats(&raw));
        assert_eq!(floats(&raw), Some(vec![1.5, -2.0]));

        let listed = TensorProto { int64_data: vec![-1, 1 << 40], ..tensor(DataType::Int64) };
        let bytes = [-1i64, 1 << 40].iter().flat_map(|value| value.to_le_bytes()).collect();
        let raw = TensorProto { raw_data: bytes, ..tensor(DataType::Int64) };
        assert_eq!(integers(&listed), integers(&raw));
        assert_eq!(integers(&raw), Some(vec![-1, 1 << 40]));

        let listed = TensorProto { int32_data: vec![-7], ..tensor(DataType::Int32) };
        let raw = TensorProto { raw_data: (-7i32).to_le_bytes().into(), ..tensor(DataType::Int32) };
        assert_eq!(integers(&listed), integers(&raw));
    }

    #[test]
    fn unsigned_bytes_are_moved_by_128() {
        let raw = TensorProto { raw_data: vec![0, 128, 255], ..tensor(DataType::Uint8) };
        assert_eq!(signed_bytes(&raw), Some(vec![-128, 0, 127]));
        assert_eq!(integers(&raw), Some(vec![0, 128, 255]));
        let raw = TensorProto { raw_data: vec![0, 128, 255], ..tensor(DataType::Int8) };
        assert_eq!(signed_bytes(&raw), Some(vec![0, -128, -1]));
        assert_eq!(integers(&raw), Some(vec![0, -128, -1]));
    }

    #[test]
    fn another_type_or_a_value_that_does_not_fit_gives_nothing() {
        assert_eq!(floats(&tensor(DataType::Int8)), None);
        assert_eq!(integers(&tensor(DataType::Float)), None);
        assert_eq!(integers(&tensor(DataType::String)), None);
        assert_eq!(signed_bytes(&tensor(DataType::Int32)), None);
        let large = TensorProto { int32_data: vec![128], ..tensor(DataType::Int8) };
        assert_eq!(signed_bytes(&large), None);
    }

    #[test]
    fn one_value_that_is_not_finite_is_found_wherever_it_is_stored() {
        let listed = |value| TensorProto { float_data: vec![0.0, value], ..tensor(DataType::Float) };
        let raw =
            |value: f32| TensorProto { raw_data: value.to_le_bytes().into(), ..tensor(DataType::Float) };
        assert!(is_finite(&listed(1.0)) && is_finite(&raw(1.0)));
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert!(!is_finite(&listed(value)) && !is_finite(&raw(value)), "{value}");
        }
        assert!(is_finite(&TensorProto { raw_data: vec![0xFF; 4], ..tensor(DataType::Int32) }));
    }
}
