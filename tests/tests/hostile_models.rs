//! Model files made to do harm. Each carries a valid checksum: anyone who can write a file can compute one.
//!
//! A case is a name, what is changed in the small model, and a word that the refusal must hold.

use std::fs;
use std::time::{Duration, Instant};

use comet_engine::model::{ModelError, ModelFile};
use comet_engine::run::{DetectorSession, Session};
use comet_onnx::check::MAX_NODES;
use comet_onnx::proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, StringStringEntryProto, TensorProto,
};
use comet_tests::fixture::image;
use comet_tests::program::comet_edge;
use comet_tests::small_model::{
    floats, int, integers, ints, manifest, model, node, text, value, with_checksum,
};
use serde_json::{Value, json};

type Change = fn(&mut ModelProto);
type Case = (&'static str, Change, &'static str);

/// Longer than this, no refusal may take.
const AT_ONCE: Duration = Duration::from_secs(1);

fn graph(model: &mut ModelProto) -> &mut GraphProto {
    model.graph.get_or_insert_default()
}

/// The convolution is node 0; the others follow in the order of the small model.
fn node_at(model: &mut ModelProto, index: usize) -> &mut NodeProto {
    &mut graph(model).node[index]
}

fn weight(model: &mut ModelProto) -> &mut TensorProto {
    &mut graph(model).initializer[0]
}

/// Puts `value` in the place of the last weight.
fn set_weight(model: &mut ModelProto, value: f32) {
    *weight(model) = floats("weight", &[1, 3, 1, 1], &[0.5, -0.25, value]);
}

fn escape(tensor: &mut TensorProto) {
    let location = "../../../../etc/hostname".to_owned();
    tensor.raw_data.clear();
    tensor.data_location = Some(1);
    tensor.external_data.push(StringStringEntryProto { key: "location".into(), value: location });
}

/// The weights as a node, where the checks of initializers do not see them.
fn weight_as_node(model: &mut ModelProto, change: fn(&mut TensorProto)) {
    let mut tensor = graph(model).initializer.remove(0);
    change(&mut tensor);
    let value =
        AttributeProto { name: "value".into(), r#type: 4, t: Some(tensor), ..AttributeProto::default() };
    let constant = NodeProto { attribute: vec![value], ..node("Constant", &[], "weight") };
    graph(model).node.insert(0, constant);
}

/// Puts a node between the convolution and the sigmoid.
fn insert_after_conv(
    model: &mut ModelProto,
    operator: &str,
    inputs: &[&str],
    attributes: Vec<AttributeProto>,
) {
    let between = NodeProto { attribute: attributes, ..node(operator, inputs, "between") };
    graph(model).node.insert(1, between);
    node_at(model, 2).input[0] = "between".into();
}

fn resize_to(model: &mut ModelProto, sizes: [i64; 4]) {
    graph(model).initializer.push(integers("sizes", &sizes));
    let mode = [text("mode", "linear"), text("coordinate_transformation_mode", "half_pixel")];
    insert_after_conv(model, "Resize", &["raw", "", "", "sizes"], mode.to_vec());
}

/// A chain of operators without effect behind the convolution.
fn chain(model: &mut ModelProto, length: usize) {
    let name = |index: usize| if index == 0 { "raw".to_owned() } else { format!("link{index}") };
    for index in 0..length {
        let link = node("Relu", &[&name(index)], &name(index + 1));
        graph(model).node.push(link);
    }
    node_at(model, 1).input[0] = name(length);
}

/// A graph within a graph, `depth` times.
fn nested(depth: usize) -> GraphProto {
    (0..depth).fold(GraphProto::default(), |inner, _| {
        let body = AttributeProto { name: "body".into(), g: Some(inner), ..AttributeProto::default() };
        GraphProto {
            node: vec![NodeProto { attribute: vec![body], ..node("Relu", &["x"], "y") }],
            ..Default::default()
        }
    })
}

fn prepare(bytes: &[u8]) -> Result<(), ModelError> {
    Session::new(&ModelFile::parse("hostile", bytes, true)?).map(drop)
}

/// The refusal of `bytes`, which has to come at once.
fn refusal(name: &str, bytes: &[u8]) -> anyhow::Result<String> {
    let begun = Instant::now();
    let Err(error) = prepare(bytes) else { anyhow::bail!("{name}: was accepted") };
    anyhow::ensure!(begun.elapsed() < AT_ONCE, "{name}: took {:?}", begun.elapsed());
    Ok(error.to_string())
}

const GRAPHS: &[Case] = &[
    ("huge dimensions", |m| weight(m).dims = vec![1 << 62, 4], "claims more values"),
    ("dimensions whose product overflows", |m| weight(m).dims = vec![1 << 40, 1 << 40], "claims more values"),
    ("negative dimensions", |m| weight(m).dims = vec![-1, 3, 1, 1], "claims more values"),
    ("too few bytes", |m| weight(m).raw_data = vec![0; 4], "4 bytes for 3 values"),
    ("no bytes at all", |m| weight(m).raw_data.clear(), "engine"),
    ("text for weights", |m| weight(m).data_type = 8, "data type 8"),
    ("an unknown data type", |m| weight(m).data_type = 99, "data type 99"),
    ("integers for weights", |m| weight(m).data_type = 6, "engine"),
    ("weights of another shape", |m| *weight(m) = floats("weight", &[1, 7, 1, 1], &[0.0; 7]), "engine"),
    ("weights without dimensions", |m| *weight(m) = floats("weight", &[], &[0.0]), "engine"),
    ("a weight that is not a number", |m| set_weight(m, f32::NAN), "'weight' holds a value that is not"),
    ("a weight without end", |m| set_weight(m, f32::NEG_INFINITY), "'weight' holds a value that is not"),
    (
        "a list of weights with one that is not a number",
        |m| {
            weight(m).raw_data.clear();
            weight(m).float_data = vec![0.5, f32::NAN, 0.125];
        },
        "'weight' holds a value that is not",
    ),
    ("data in another file", |m| escape(weight(m)), "another file"),
    ("data of a node in another file", |m| weight_as_node(m, escape), "another file"),
    (
        "a node with huge dimensions",
        |m| weight_as_node(m, |tensor| tensor.dims = vec![1 << 40, 1 << 10]),
        "more values than the file has bytes",
    ),
    ("sparse weights", |m| graph(m).sparse_initializer.push(Default::default()), "sparse"),
    ("an unknown operator", |m| node_at(m, 1).op_type = "LSTM".into(), "LSTM"),
    ("an operator of another domain", |m| node_at(m, 1).domain = "com.example".into(), "com.example"),
    ("a loop", |m| node_at(m, 1).op_type = "Loop".into(), "Loop"),
    (
        "a graph inside a node",
        |m| node_at(m, 1).attribute.push(AttributeProto { g: Some(nested(3)), ..Default::default() }),
        "a graph of its own",
    ),
    ("graphs inside of each other", |m| *graph(m) = nested(200), "not an ONNX file"),
    ("functions", |m| m.functions.push(Default::default()), "functions"),
    ("a training graph", |m| m.training_info.push(Default::default()), "training"),
    ("no graph", |m| m.graph = None, "no graph"),
    ("no input", |m| graph(m).input.clear(), "0 inputs"),
    ("two inputs", |m| graph(m).input.push(value("more", &[1])), "2 inputs"),
    ("an input of another name", |m| graph(m).input[0].name = "photo".into(), "'photo'"),
    ("an input of another shape", |m| graph(m).input[0] = value("image", &[1, 3, 8, 9]), "'preprocess'"),
    ("an input that is constant", |m| graph(m).initializer.push(floats("image", &[1], &[0.0])), "0 inputs"),
    ("no outputs", |m| graph(m).output.clear(), "no output 'mask'"),
    ("no logits", |m| graph(m).output[1].name = "scores".into(), "no output 'logits'"),
    (
        "outputs that changed places",
        |m| {
            let outputs = &mut graph(m).output;
            outputs[0].name = "logits".into();
            outputs[1].name = "mask".into();
        },
        "'preprocess'",
    ),
    ("a third output of another name", |m| graph(m).output.push(value("more", &[1, 2])), "output 'more'"),
    (
        "a detector of more classes",
        |m| graph(m).output.push(value("left_out_logits", &[1, 3])),
        "'left_out_logits' should be [1, 2]",
    ),
    ("more classes than names", |m| graph(m).output[1] = value("logits", &[1, 3]), "'classes'"),
    ("two nodes in a circle", |m| node_at(m, 0).input[0] = "mask".into(), "engine"),
    ("a node that reads itself", |m| node_at(m, 1).input[0] = "mask".into(), "engine"),
    ("a value that no node makes", |m| node_at(m, 1).input[0] = "nowhere".into(), "nowhere"),
    ("a value that is made twice", |m| node_at(m, 0).output[0] = "mask".into(), "engine"),
    ("a node without inputs", |m| node_at(m, 0).input.clear(), "engine"),
    (
        "a node with a thousand inputs",
        |m| node_at(m, 1).input.extend(vec!["image".to_owned(); 1000]),
        "engine",
    ),
    ("groups that do not divide", |m| node_at(m, 0).attribute.push(int("group", 0)), "engine"),
    ("negative padding", |m| node_at(m, 0).attribute.push(ints("pads", &[-100; 4])), "engine"),
    ("a huge kernel", |m| node_at(m, 0).attribute.push(ints("kernel_shape", &[1 << 40; 2])), "kernel_shape"),
    ("a resize to nothing", |m| resize_to(m, [1, 1, 0, 0]), "a size"),
    ("a map larger than its image", |m| resize_to(m, [1, 1, 16, 16]), "engine"),
    (
        "a reshape to 2^80 values",
        |m| {
            graph(m).initializer.push(integers("shape", &[1 << 40, 1 << 40, -1]));
            insert_after_conv(m, "Reshape", &["raw", "shape"], Vec::new());
        },
        "engine",
    ),
    ("one node too many", |m| chain(m, MAX_NODES), "the limit is"),
    ("30,001 nodes", |m| chain(m, 30_001), "the limit is"),
];

#[test]
fn hostile_graphs_are_refused_at_once_by_name() -> anyhow::Result<()> {
    assert!(GRAPHS.len() >= 20);
    prepare(&with_checksum(&model(), &manifest().to_string()))?;
    for (name, change, word) in GRAPHS {
        let mut changed = model();
        change(&mut changed);
        let said = refusal(name, &with_checksum(&changed, &manifest().to_string()))?;
        assert!(said.contains(word), "{name}: {said}");
        assert!(!said.contains("panicked"), "{name}: {said}");
    }
    Ok(())
}

/// A session that needs map and class only never uses it.
#[test]
fn an_invalid_detector_is_refused_when_it_is_asked_for() -> anyhow::Result<()> {
    let faults: [Case; 3] = [
        ("no node makes it", |_| (), "'left_out_logits' does not depend on"),
        (
            "it is the predictor",
            |m| graph(m).node.push(node("Identity", &["logits"], "left_out_logits")),
            "'left_out_logits' does not depend on",
        ),
        (
            "it gives other values than it declares",
            |m| {
                graph(m).node.push(node("Mul", &["image", "mask"], "left_out"));
                graph(m).node.push(node("GlobalAveragePool", &["left_out"], "left_out_logits"));
            },
            "engine",
        ),
    ];
    for (name, change, word) in faults {
        let mut changed = model();
        graph(&mut changed).output.push(value("left_out_logits", &[1, 2]));
        change(&mut changed);
        let bytes = with_checksum(&changed, &manifest().to_string());
        prepare(&bytes)?;
        let file = ModelFile::parse("hostile", &bytes, true)?;
        let Err(error) = DetectorSession::new(&file) else { anyhow::bail!("{name}: was accepted") };
        assert!(error.to_string().contains(word), "{name}: {error}");
        assert!(!error.to_string().contains("panicked"), "{name}: {error}");
    }
    Ok(())
}

#[test]
fn hostile_manifests_are_refused_at_once_by_name() -> anyhow::Result<()> {
    type Edit = fn(&mut Value);
    let edits: [(&str, Edit, &str); 23] = [
        ("a deviation of zero", |m| m["preprocess"]["std"][0] = json!(0.0), "'preprocess.std'"),
        ("a deviation below zero", |m| m["preprocess"]["std"][0] = json!(-0.2), "'preprocess.std'"),
        (
            "no deviation",
            |m| m["preprocess"]["std"] = json!([null, 0.2, 0.2]),
            "manifest that cannot be read",
        ),
        ("a mean outside", |m| m["preprocess"]["mean"][2] = json!(1.5), "'preprocess.mean'"),
        ("no width", |m| m["preprocess"]["width"] = json!(0), "'preprocess'"),
        ("a huge width", |m| m["preprocess"]["width"] = json!(u32::MAX), "'preprocess'"),
        ("a width below zero", |m| m["preprocess"]["width"] = json!(-8), "manifest that cannot be read"),
        ("another width", |m| m["preprocess"]["width"] = json!(16), "'preprocess'"),
        ("no classes", |m| m["classes"] = json!([]), "'classes'"),
        ("too many classes", |m| m["classes"] = json!(["a", "b", "c"]), "'classes'"),
        ("a fill", |m| m["fill"] = json!(0.5), "'fill'"),
        ("a temperature of zero", |m| m["temperature"] = json!(0.0), "'temperature'"),
        ("a temperature below zero", |m| m["temperature"] = json!(-1.5), "'temperature'"),
        ("a temperature of nearly nothing", |m| m["temperature"] = json!(1e-300), "'temperature'"),
        ("a huge temperature", |m| m["temperature"] = json!(1e300), "'temperature'"),
        ("a temperature in words", |m| m["temperature"] = json!("hot"), "'temperature'"),
        ("no temperature where one is said to be", |m| m["temperature"] = json!(null), "'temperature'"),
        ("an unknown precision", |m| m["precision"] = json!("int4"), "int4"),
        ("another version", |m| m["format_version"] = json!(99), "format 99"),
        ("a version in words", |m| m["format_version"] = json!("one"), "no format_version"),
        (
            "no version",
            |m| drop(m.as_object_mut().and_then(|m| m.remove("format_version"))),
            "no format_version",
        ),
        ("no preprocessing", |m| drop(m.as_object_mut().and_then(|m| m.remove("preprocess"))), "preprocess"),
        ("a list", |m| *m = json!([1, 2]), "manifest that cannot be read"),
    ];
    let plain = manifest().to_string();
    let texts = [
        ("no JSON", "hello".to_owned(), "manifest that cannot be read"),
        ("nothing", String::new(), "manifest that cannot be read"),
        ("a deviation that is not a number", plain.replace("0.25,", "NaN,"), "manifest that cannot be read"),
        ("a deviation without end", plain.replace("0.25,", "1e999,"), "manifest that cannot be read"),
        (
            "a temperature that is not a number",
            plain.replace("\"fill\":0.0", "\"fill\":0.0,\"temperature\":NaN"),
            "manifest that cannot be read",
        ),
        ("lists in lists", "[".repeat(100_000), "recursion limit"),
        ("100,001 classes", many_classes(100_001), "'classes'"),
    ];
    assert!(texts.iter().all(|(_, text, _)| *text != plain));
    let edited = edits.into_iter().map(|(name, edit, word)| {
        let mut manifest = manifest();
        edit(&mut manifest);
        (name, manifest.to_string(), word)
    });
    for (name, text, word) in edited.chain(texts) {
        let said = refusal(name, &with_checksum(&model(), &text))?;
        assert!(said.contains(word), "{name}: {said}");
    }
    Ok(())
}

fn many_classes(count: usize) -> String {
    let mut manifest = manifest();
    manifest["classes"] = (0..count).map(|class| class.to_string()).collect();
    manifest.to_string()
}

#[test]
fn what_makes_the_engine_panic_is_an_error_too() -> anyhow::Result<()> {
    let cases: [(&str, Change); 7] = [
        ("no nodes", |m| graph(m).node.clear()),
        ("an output that no node makes", |m| node_at(m, 5).output[0] = "elsewhere".into()),
        ("steps of zero", |m| node_at(m, 0).attribute.push(ints("strides", &[0, 0]))),
        ("padding whose sum overflows", |m| node_at(m, 0).attribute.push(ints("pads", &[1 << 40; 4]))),
        ("an axis that is not there", |m| node_at(m, 4).attribute.push(int("axis", 99))),
        ("an axis far below zero", |m| node_at(m, 4).attribute.push(int("axis", -(1 << 40)))),
        ("a resize below zero", |m| resize_to(m, [1, 1, -8, -8])),
    ];
    for (name, change) in cases {
        let mut changed = model();
        change(&mut changed);
        refusal(name, &with_checksum(&changed, &manifest().to_string()))?;
    }
    Ok(())
}

/// In a process of its own with little memory: a failed allocation would end this one.
#[test]
fn a_small_file_cannot_ask_for_much_memory_or_time() -> anyhow::Result<()> {
    let cases: [(&str, Change); 5] = [
        ("a resize to 2^40 pixels", |m| resize_to(m, [1, 1, 1 << 20, 1 << 20])),
        ("padding of 65,536", |m| node_at(m, 0).attribute.push(ints("pads", &[1 << 16; 4]))),
        ("a pool over 2^31 pixels", |m| {
            let window =
                [ints("kernel_shape", &[1 << 31; 2]), ints("pads", &[1 << 30; 4]), ints("strides", &[1, 1])];
            insert_after_conv(m, "MaxPool", &["raw"], window.to_vec());
        }),
        ("a value doubled 40 times", |m| {
            let name = |index: usize| if index == 0 { "raw".to_owned() } else { format!("twice{index}") };
            for index in 0..40 {
                let twice = node("Concat", &[&name(index), &name(index)], &name(index + 1));
                graph(m).node.push(NodeProto { attribute: vec![int("axis", 2)], ..twice });
            }
            graph(m).node.push(node("GlobalAveragePool", &[&name(40)], "mean"));
            graph(m).node.push(node("Add", &["raw", "mean"], "sum"));
            node_at(m, 1).input[0] = "sum".into();
        }),
        ("a chain of 5,000 nodes", |m| chain(m, 5_000)),
    ];
    let folder = tempfile::tempdir()?;
    let (file, photo) = (folder.path().join("bomb.onnx"), folder.path().join("photo.png"));
    image(16, 16, 1).save(&photo)?;
    let mut faults = Vec::new();
    for (name, change) in cases {
        let mut changed = model();
        change(&mut changed);
        fs::write(&file, with_checksum(&changed, &manifest().to_string()))?;
        let program = comet_edge("predict --threads 1 --model")?.arg(&file).arg(&photo);
        let finished = program.memory(1024).limit(Duration::from_secs(10)).run();
        if let Err(fault) = finished.and_then(|finished| finished.ends_with(3)?.says(&["bomb.onnx"])) {
            faults.push(format!("{name}: {fault:#}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    Ok(())
}

/// Adds the largest float twice to the first class; the sum, infinity, goes to `output`.
fn overflow(model: &mut ModelProto, output: &str) {
    graph(model).initializer[3] = floats("class_bias", &[2], &[f32::MAX, 0.0]);
    let scores = node_at(model, 5);
    scores.name = "scores".into();
    scores.output[0] = "scores".into();
    graph(model).node.push(node("Add", &["scores", "class_bias"], output));
}

/// The weights are finite here, and the file is accepted: only its prediction shows the fault.
#[test]
fn logits_that_are_not_numbers_are_never_a_confident_prediction() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (file, photo) = (folder.path().join("nan.onnx"), folder.path().join("photo.png"));
    image(16, 16, 1).save(&photo)?;
    let infinite: Change = |m| overflow(m, "logits");
    let undefined: Change = |m| {
        overflow(m, "twice");
        graph(m).node.push(node("Sub", &["twice", "twice"], "logits"));
    };
    for change in [infinite, undefined] {
        let mut changed = model();
        change(&mut changed);
        fs::write(&file, with_checksum(&changed, &manifest().to_string()))?;
        let prediction =
            comet_edge("predict --json --model")?.arg(&file).arg(&photo).run()?.succeeds()?.json()?;
        assert_eq!(prediction["flags"][0], "invalid_explanation", "{prediction}");
        assert!(prediction["class"].is_null() && prediction["probability"].is_null(), "{prediction}");
    }
    Ok(())
}

#[test]
fn names_in_a_file_cannot_reach_a_terminal_as_commands() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (file, photo) = (folder.path().join("names.onnx"), folder.path().join("photo.png"));
    image(16, 16, 1).save(&photo)?;
    let mut manifest = manifest();
    manifest["name"] = json!("\u{1b}[2Jsmall");
    manifest["writer"] = json!("\u{1b}[2J");
    manifest["classes"] = json!(["\u{1b}]0;left\u{7}", "right\u{1b}[8m"]);
    fs::write(&file, with_checksum(&model(), &manifest.to_string()))?;
    for words in ["inspect", "inspect --json", "bench --iterations 1 --model"] {
        let finished = comet_edge(words)?.arg(&file).run()?.succeeds()?;
        assert!(!(finished.stdout + &finished.stderr).contains('\u{1b}'), "{words}");
    }
    for words in ["predict", "predict --json", "run --source"] {
        let finished = comet_edge(words)?.arg(&photo).arg("--model").arg(&file).run()?.succeeds()?;
        assert!(!(finished.stdout + &finished.stderr).contains('\u{1b}'), "{words}");
    }
    Ok(())
}
