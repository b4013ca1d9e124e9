//! Small quantized networks of the parts of EfficientNet-Lite and of a top-down head, on every tier and in tract.

use comet_onnx::proto::tensor_proto::DataType;
use comet_onnx::proto::{
    OperatorSetIdProto, TensorShapeProto, TypeProto, ValueInfoProto, tensor_shape_proto, type_proto,
};
use comet_onnx::{GraphEditor, TensorValues, attribute, node};

use super::*;

/// Height and width of the images.
const SIDES: [usize; 2] = [64, 32];

/// A convolution: channels in and out, sides of the window, steps, padding (top, left, bottom, right).
#[derive(Clone, Copy)]
struct Layer {
    channels: [usize; 2],
    kernel: usize,
    stride: usize,
    pads: [i64; 4],
    depthwise: bool,
}

impl Layer {
    fn dense(from: usize, to: usize, kernel: usize) -> Self {
        let pads = [kernel as i64 / 2; 4];
        Self { channels: [from, to], kernel, stride: 1, pads, depthwise: false }
    }

    fn depthwise(channels: usize, kernel: usize) -> Self {
        Self { depthwise: true, ..Self::dense(channels, channels, kernel) }
    }

    /// In steps of two, with TensorFlow's padding for sides that are even.
    fn halved(self) -> Self {
        let before = (self.kernel as i64 - 2) / 2;
        let after = self.kernel as i64 - 2 - before;
        Self { stride: 2, pads: [before, before, after, after], ..self }
    }
}

/// Writes quantized graphs with seeded weights. Methods take and give names of dequantized values.
struct Builder {
    graph: GraphEditor,
    seed: u32,
    /// Size of what a convolution gives, for an input of size 1.
    gain: f32,
}

impl Builder {
    /// With the image in bytes, called `image/real`.
    fn new(gain: f32) -> Self {
        let graph = GraphEditor { input: "image".into(), ..GraphEditor::default() };
        let mut builder = Self { graph, seed: 1, gain };
        for (name, limit) in [("zero", 0.0), ("six", 6.0)] {
            builder.graph.set_floats(name, &TensorValues { dims: vec![], values: vec![limit] });
        }
        builder.bytes("image", 1.0 / 64.0, 128);
        builder
    }

    fn number(&mut self) -> u32 {
        self.seed = self.seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.seed >> 24
    }

    fn node(&mut self, operator: &str, inputs: &[&str], output: &str) {
        self.graph.nodes.push(node(operator, inputs, output, vec![]));
    }

    /// Puts a value through 8 bits.
    fn bytes(&mut self, value: &str, scale: f32, zero_point: u8) -> String {
        let [step, zero, stored, real] =
            ["step", "zero_point", "stored", "real"].map(|part| format!("{value}/{part}"));
        self.graph.set_floats(&step, &TensorValues { dims: vec![], values: vec![scale] });
        self.graph.set_raw(&zero, DataType::Uint8, &[], vec![zero_point]);
        self.node("QuantizeLinear", &[value, &step, &zero], &stored);
        self.node("DequantizeLinear", &[&stored, &step, &zero], &real);
        real
    }

    /// The convolution alone; what comes out is real.
    fn conv(&mut self, input: &str, name: &str, layer: Layer) {
        let Layer { channels: [from, to], kernel, stride, pads, depthwise } = layer;
        let inputs = if depthwise { 1 } else { from };
        let dims = [to, inputs, kernel, kernel];
        let each = inputs * kernel * kernel;
        let bytes = (0..to * each).map(|_| self.number().clamp(1, 255) as u8 ^ 0x80).collect();
        // The weights are 73 in the mean square.
        let size = self.gain / (73.0 * (each as f32).sqrt());
        // Powers of two: then floats hold every sum exactly, and tract rounds the same numbers.
        let scale = |channel: usize| {
            let wanted = size * (1.0 + channel as f32 / to as f32);
            2f32.powi(wanted.log2().round() as i32)
        };
        let scales: Vec<f32> = (0..to).map(scale).collect();
        // In whole units of the sums, so that no rounding of the bias comes into it.
        let unit = self.graph.scalar(&input.replace("/real", "/step")).unwrap();
        let bias = |scale: &f32| {
            let unit = unit * scale;
            ((self.number() as f32 / 100.0 - 0.5) / unit).round() * unit
        };
        let bias: Vec<f32> = scales.iter().map(bias).collect();
        let [stored, step, real, biases] =
            ["weight/stored", "weight/step", "weight", "bias"].map(|part| format!("{name}/{part}"));
        self.graph.set_raw(&stored, DataType::Int8, &dims, bytes);
        self.graph.set_floats(&step, &TensorValues { dims: vec![to], values: scales });
        self.graph.set_floats(&biases, &TensorValues { dims: vec![to], values: bias });
        let axis = vec![attribute::int("axis", 0)];
        self.graph.nodes.push(node("DequantizeLinear", &[&stored, &step], &real, axis));
        let attributes = vec![
            attribute::int("group", if depthwise { from as i64 } else { 1 }),
            attribute::ints("kernel_shape", &[kernel as i64; 2]),
            attribute::ints("strides", &[stride as i64; 2]),
            attribute::ints("pads", &pads),
        ];
        self.graph.nodes.push(node("Conv", &[input, &real, &biases], name, attributes));
    }

    /// Without an activation.
    fn linear(&mut self, input: &str, name: &str, layer: Layer) -> String {
        self.conv(input, name, layer);
        self.bytes(name, 1.0 / 16.0, 120)
    }

    /// With ReLU6, in steps of `scale`.
    fn clipped(&mut self, input: &str, name: &str, layer: Layer, scale: f32) -> String {
        self.conv(input, name, layer);
        let clip = format!("{name}/clip");
        self.node("Clip", &[name, "zero", "six"], &clip);
        self.bytes(&clip, scale, 0)
    }

    /// A function or sum of bytes.
    fn step(&mut self, operator: &str, inputs: &[&str], name: &str, to: (f32, u8)) -> String {
        self.node(operator, inputs, name);
        self.bytes(name, to.0, to.1)
    }

    /// Bilinear, without a quantization behind it.
    fn resize(&mut self, input: &str, name: &str, [channels, height, width]: [usize; 3]) {
        let sizes = format!("{name}/sizes");
        let numbers = [1, channels, height, width].map(|side| side as i64);
        let raw = numbers.iter().flat_map(|side| side.to_le_bytes()).collect();
        self.graph.set_raw(&sizes, DataType::Int64, &[4], raw);
        let attributes = vec![
            attribute::text("mode", "linear"),
            attribute::text("coordinate_transformation_mode", "half_pixel"),
        ];
        self.graph.nodes.push(node("Resize", &[input, "", "", &sizes], name, attributes));
    }

    fn model(self, output: &str) -> ModelProto {
        let dim = |size: usize| tensor_shape_proto::Dimension {
            value: Some(tensor_shape_proto::dimension::Value::DimValue(size as i64)),
            ..Default::default()
        };
        let shape = TensorShapeProto { dim: [1, 3, SIDES[0], SIDES[1]].map(dim).into() };
        let tensor = type_proto::Tensor { elem_type: DataType::Float as i32, shape: Some(shape) };
        let image = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() };
        let value = |name: &str| ValueInfoProto { name: name.into(), ..ValueInfoProto::default() };
        let input = ValueInfoProto { r#type: Some(image), ..value(&self.graph.input) };
        let mut graph = self.graph.into_proto();
        (graph.input, graph.output) = (vec![input], vec![value(output)]);
        ModelProto {
            ir_version: 8,
            opset_import: vec![OperatorSetIdProto { domain: String::new(), version: 18 }],
            graph: Some(graph),
            ..ModelProto::default()
        }
    }
}

/// One step of a ReLU6 that uses all bytes.
const SIXTH: f32 = 6.0 / 255.0;

/// Blocks of EfficientNet-Lite at strides 2, 4 and 8, then the way up with sums, and a map.
fn top_down() -> ModelProto {
    let mut b = Builder::new(0.8);
    let stem = b.clipped("image/real", "stem", Layer::dense(3, 20, 3).halved(), SIXTH);
    let depthwise = b.clipped(&stem, "a/depthwise", Layer::depthwise(20, 3), SIXTH);
    let low = b.linear(&depthwise, "a/project", Layer::dense(20, 24, 1));
    let wide = b.clipped(&low, "b/expand", Layer::dense(24, 72, 1), SIXTH);
    let depthwise = b.clipped(&wide, "b/depthwise", Layer::depthwise(72, 5).halved(), 0.019);
    let middle = b.linear(&depthwise, "b/project", Layer::dense(72, 40, 1));
    let depthwise = b.clipped(&middle, "c/depthwise", Layer::depthwise(40, 5), SIXTH);
    let project = b.linear(&depthwise, "c/project", Layer::dense(40, 40, 1));
    let middle = b.step("Add", &[&project, &middle], "c/add", (1.0 / 12.0, 125));
    let depthwise = b.clipped(&middle, "d/depthwise", Layer::depthwise(40, 3).halved(), SIXTH);
    let high = b.linear(&depthwise, "d/project", Layer::dense(40, 56, 1));

    let mean = b.step("GlobalAveragePool", &[&high], "mean", (1.0 / 32.0, 110));
    let gate = b.linear(&mean, "gate", Layer::dense(56, 27, 1));
    let gate = b.step("Sigmoid", &[&gate], "gate/sigmoid", (1.0 / 255.0, 0));
    let features = b.clipped(&high, "head", Layer::dense(56, 27, 1), SIXTH);
    let gated = b.step("Mul", &[&features, &gate], "gated", (1.0 / 50.0, 0));

    b.resize(&gated, "up_1", [27, 16, 8]);
    let up = b.bytes("up_1", 1.0 / 50.0, 0);
    let side = b.linear(&middle, "side_1", Layer::dense(40, 27, 1));
    let sum = b.step("Add", &[&up, &side], "sum_1", (1.0 / 12.0, 100));
    let depthwise = b.clipped(&sum, "down_1", Layer::depthwise(27, 3), SIXTH);
    let narrow = b.clipped(&depthwise, "narrow_1", Layer::dense(27, 12, 1), SIXTH);
    // Another scale than that of its input.
    b.resize(&narrow, "up_2", [12, 32, 16]);
    let up = b.bytes("up_2", 1.0 / 40.0, 2);
    let side = b.linear(&low, "side_2", Layer::dense(24, 12, 1));
    let sum = b.step("Add", &[&up, &side], "sum_2", (1.0 / 12.0, 100));
    let depthwise = b.clipped(&sum, "down_2", Layer::depthwise(12, 3), SIXTH);

    b.conv(&depthwise, "out", Layer::dense(12, 1, 1));
    b.resize("out", "logits", [1, SIDES[0], SIDES[1]]);
    b.node("Sigmoid", &["logits"], "mask");
    b.model("mask")
}

fn prepared(model: &ModelProto, threads: usize, kernels: Kernels) -> Executable {
    prepare(model, &[1, 3, SIDES[0], SIDES[1]], Options { threads, kernels }).unwrap()
}

/// The output for an image of patches with a texture.
fn output(executable: &Executable) -> Vec<f32> {
    let pixel = |index: usize| {
        let (y, x) = (index / SIDES[1] % SIDES[0], index % SIDES[1]);
        ((y / 16 * 5 + x / 8 * 3 + index / 2048) % 7) as f32 / 2.0 - 1.6 + (x * 7 + y * 3) as f32 % 5.0 / 16.0
    };
    let image: Vec<f32> = (0..3 * SIDES[0] * SIDES[1]).map(pixel).collect();
    executable.run(&image, |outputs| Ok(outputs[0].to_vec())).unwrap()
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn a_top_down_head_on_efficientnet_blocks_is_one_region_and_every_node_says_what_runs_it() {
    let executable = prepared(&top_down(), 1, Kernels::Tier(Tier::Scalar));
    let report = executable.report();
    assert_eq!((report.regions, report.fused_share(), report.remark.as_deref()), (1, 100.0, None));
    assert!(report.nodes.iter().all(|node| node.runs_as != "tract"));
    let what = |name: &str| report.nodes.iter().find(|node| node.name == name).unwrap().runs_as.as_str();
    let named = [
        ("stem", "int8 convolution (region 0)"),
        ("stem/clip", "int8 convolution (region 0)"),
        ("b/expand/clip", "int8 1x1 convolution (region 0)"),
        ("b/depthwise", "int8 depthwise convolution (region 0)"),
        ("b/depthwise/clip", "int8 depthwise convolution (region 0)"),
        ("c/add", "int8 addition (region 0)"),
        ("mean", "int8 global average (region 0)"),
        ("gate/sigmoid", "table of 256 bytes (region 0)"),
        ("gated", "int8 channel scale (region 0)"),
        ("up_1", "int8 bilinear resize (region 0)"),
        ("up_2", "int8 bilinear resize (region 0)"),
        ("logits", "bilinear resize (region 0)"),
    ];
    for (name, runs_as) in named {
        assert_eq!(what(name), runs_as, "{name}");
    }
}

#[test]
fn every_tier_gives_the_same_map_and_tract_nearly_the_same() {
    let model = top_down();
    let reference = output(&prepared(&model, 1, Kernels::Tier(Tier::Scalar)));
    for tier in Tier::available() {
        for threads in [1, 2] {
            let same = output(&prepared(&model, threads, Kernels::Tier(tier))) == reference;
            assert!(same, "{tier:?}, {threads} threads");
        }
    }
    let logits = |map: &[f32]| map.iter().map(|value| (value / (1.0 - value)).ln()).collect::<Vec<f32>>();
    let (ours, tract) = (logits(&reference), logits(&output(&prepared(&model, 1, Kernels::Tract))));
    let low = tract.iter().copied().fold(f32::INFINITY, f32::min);
    let high = tract.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    assert!(high - low > 1.0, "a map from {low} to {high} shows nothing");
    let mean = ours.iter().zip(&tract).map(|(a, b)| (a - b).abs()).sum::<f32>() / tract.len() as f32;
    assert!(mean < 0.05, "{mean}");
}

/// One layer, then its bytes as real numbers.
fn one_layer(layer: Layer, scale: f32) -> ModelProto {
    let mut b = Builder::new(1.2);
    let wide = b.linear("image/real", "wide", Layer::dense(3, layer.channels[0], 1));
    let output = b.clipped(&wide, "layer", layer, scale);
    b.model(&output)
}

#[test]
fn layers_with_relu6_and_padding_behind_are_those_of_tract() {
    let layers = [
        Layer::dense(20, 33, 3).halved(),
        Layer::depthwise(24, 3).halved(),
        Layer::depthwise(40, 5),
        Layer::depthwise(72, 5).halved(),
        Layer { pads: [0, 0, 1, 1], ..Layer::dense(17, 9, 1) },
        Layer { pads: [0, 0, 2, 2], ..Layer::dense(64, 64, 3) },
    ];
    for (index, layer) in layers.into_iter().enumerate() {
        // All bytes, fewer than ReLU6 lets through, and more than it lets through.
        for scale in [SIXTH, 0.01, 0.05] {
            let model = one_layer(layer, scale);
            let tract = output(&prepared(&model, 1, Kernels::Tract));
            let most = tract.iter().copied().fold(0.0, f32::max);
            assert!(most > 0.9 * (255.0 * scale).min(6.0), "layer {index}: only {most} is reached");
            for tier in Tier::available() {
                let executable = prepared(&model, 1, Kernels::Tier(tier));
                assert_eq!(executable.report().fused_share(), 100.0, "layer {index}");
                let ours = output(&executable);
                // A sum half way between two steps may go to either.
                let steps = largest_difference(&ours, &tract) / scale;
                assert!(steps < 1.01, "layer {index} on {tier:?}, scale {scale}: {steps} steps");
                let other = ours.iter().zip(&tract).filter(|(a, b)| (*a - *b).abs() > scale / 2.0).count();
                assert!(other * 200 <= ours.len(), "layer {index} on {tier:?}: {other} values differ");
            }
        }
    }
}

#[test]
fn a_resize_between_quantizations_is_that_of_tract() {
    let cases = [([64, 32], (1.0 / 16.0, 120)), ([40, 27], (1.0 / 11.0, 90)), ([128, 64], (0.03, 255))];
    for ([height, width], (scale, zero_point)) in cases {
        let mut b = Builder::new(2.0);
        let wide = b.linear("image/real", "wide", Layer::dense(3, 19, 3).halved());
        b.resize(&wide, "up", [19, height, width]);
        let up = b.bytes("up", scale, zero_point);
        let model = b.model(&up);
        let tract = output(&prepared(&model, 1, Kernels::Tract));
        for tier in Tier::available() {
            let executable = prepared(&model, 1, Kernels::Tier(tier));
            assert_eq!(executable.report().regions, 1);
            let steps = largest_difference(&output(&executable), &tract) / scale;
            assert!(steps < 1.01, "{tier:?} to {height}x{width}: {steps} steps");
        }
    }
}

#[test]
fn other_resizes_between_quantizations_are_left_to_tract() {
    type Change = (&'static str, fn(&mut Builder));
    let changes: [Change; 3] = [
        ("other centres", |b| {
            let resize = b.graph.nodes.iter_mut().find(|node| node.name == "up").unwrap();
            resize.attribute[1] = attribute::text("coordinate_transformation_mode", "align_corners");
        }),
        ("the nearest", |b| {
            let resize = b.graph.nodes.iter_mut().find(|node| node.name == "up").unwrap();
            resize.attribute[0] = attribute::text("mode", "nearest");
        }),
        ("real numbers", |b| {
            let resize = b.graph.nodes.iter_mut().find(|node| node.name == "up").unwrap();
            resize.input[0] = "wide".into();
        }),
    ];
    for (name, change) in changes {
        let mut b = Builder::new(2.0);
        let wide = b.linear("image/real", "wide", Layer::dense(3, 19, 3).halved());
        b.resize(&wide, "up", [19, 64, 32]);
        let up = b.bytes("up", 1.0 / 16.0, 120);
        change(&mut b);
        let model = b.model(&up);
        let executable = prepared(&model, 1, Kernels::Tier(Tier::Scalar));
        let resize = executable.report().nodes.iter().find(|node| node.name == "up").unwrap();
        assert!(!resize.runs_as.starts_with("int8"), "{name}: {}", resize.runs_as);
        let tract = output(&prepared(&model, 1, Kernels::Tract));
        assert!(largest_difference(&output(&executable), &tract) < 1.01 / 16.0, "{name}");
    }
}
