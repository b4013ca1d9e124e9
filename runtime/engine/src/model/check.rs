//! Rules that manifest and graph of every model file must keep, checked before the engine sees the graph.

use comet_onnx::check::{check, printable};
use comet_onnx::proto::{GraphProto, ModelProto, dimensions};

use super::error::ModelErrorKind;
use super::manifest::{Manifest, TEMPERATURES};
use super::names::LEFT_OUT_LOGITS;

/// The largest side of the input.
const MAX_SIDE: u32 = 4_096;
const MAX_CLASSES: usize = 100_000;

pub(super) fn check_model(
    proto: &ModelProto,
    manifest: &Manifest,
    file_bytes: usize,
) -> Result<(), ModelErrorKind> {
    let graph = proto.graph.as_ref().ok_or_else(|| ModelErrorKind::NotOnnx("it holds no graph".into()))?;
    check(proto, graph, file_bytes).map_err(|refusal| ModelErrorKind::Structure(refusal.to_string()))?;
    check_manifest(manifest)?;
    check_interface(graph, manifest)
}

fn structure<T>(fault: String) -> Result<T, ModelErrorKind> {
    Err(ModelErrorKind::Structure(fault))
}

fn check_manifest(manifest: &Manifest) -> Result<(), ModelErrorKind> {
    let field = |field, fault: String| Err(ModelErrorKind::Field { field, fault });
    let preprocess = &manifest.preprocess;
    let side = 8..=MAX_SIDE;
    if !side.contains(&preprocess.width) || !side.contains(&preprocess.height) {
        let fault = format!("{} x {} is outside 8..{MAX_SIDE}", preprocess.width, preprocess.height);
        return field("preprocess", fault);
    }
    if preprocess.std.iter().any(|std| !(std.is_finite() && *std > 1e-4)) {
        return field("preprocess.std", format!("{:?}", preprocess.std));
    }
    if preprocess.mean.iter().any(|mean| !(0.0..=1.0).contains(mean)) {
        return field("preprocess.mean", format!("{:?}", preprocess.mean));
    }
    if manifest.fill != 0.0 {
        let fault = format!("{} (this engine composites with the mean pixel, 0)", manifest.fill);
        return field("fill", fault);
    }
    // Not a number is in no range.
    if !TEMPERATURES.contains(&manifest.temperature) {
        let (least, most) = (TEMPERATURES.start(), TEMPERATURES.end());
        let fault = format!("{:?} is outside {least}..{most}: export the model again", manifest.temperature);
        return field("temperature", fault);
    }
    if manifest.classes.is_empty() || manifest.classes.len() > MAX_CLASSES {
        return field("classes", format!("there are {} classes", manifest.classes.len()));
    }
    Ok(())
}

/// `image [1,3,H,W] -> mask [1,1,H,W], logits [1,K]`, and `left_out_logits [1,K]` if the file carries the detector, by
/// name and shape.
fn check_interface(graph: &GraphProto, manifest: &Manifest) -> Result<(), ModelErrorKind> {
    let height = i64::from(manifest.preprocess.height);
    let width = i64::from(manifest.preprocess.width);
    let classes = manifest.classes.len() as i64;
    let initializers: Vec<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
    let inputs: Vec<_> =
        graph.input.iter().filter(|input| !initializers.contains(&input.name.as_str())).collect();
    let [input] = inputs.as_slice() else {
        return structure(format!("it has {} inputs instead of one", inputs.len()));
    };
    let expected = [(*input, "image", vec![1, 3, height, width], "preprocess")];
    for (value, name, shape, field) in expected {
        if value.name != name {
            return structure(format!("the input is called '{}', not '{name}'", printable(&value.name)));
        }
        check_shape(dimensions(value), &shape, name, field)?;
    }
    let outputs = [
        ("mask", vec![1, 1, height, width], "preprocess"),
        ("logits", vec![1, classes], "classes"),
        (LEFT_OUT_LOGITS, vec![1, classes], "classes"),
    ];
    for &(name, ref shape, field) in &outputs {
        match graph.output.iter().find(|output| output.name == name) {
            Some(value) => check_shape(dimensions(value), shape, name, field)?,
            None if name == LEFT_OUT_LOGITS => (),
            None => return structure(format!("it has no output '{name}'")),
        }
    }
    let is_known = |name: &str| outputs.iter().any(|(known, ..)| *known == name);
    match graph.output.iter().find(|output| !is_known(&output.name)) {
        Some(other) => structure(format!("it has an unknown output '{}'", printable(&other.name))),
        None => Ok(()),
    }
}

fn check_shape(
    found: Option<Vec<i64>>,
    expected: &[i64],
    name: &str,
    field: &'static str,
) -> Result<(), ModelErrorKind> {
    match found {
        Some(found) if found == expected => Ok(()),
        found => Err(ModelErrorKind::Field {
            field,
            fault: format!("'{name}' should be {expected:?}, the graph says {found:?}"),
        }),
    }
}
