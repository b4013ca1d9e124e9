//! What runs each node of the shipped models: `Session::plan` and `comet-edge inspect --plan`.

use comet_engine::model::ModelFile;
use comet_engine::run::{KERNEL_VARIABLE, Kernels, Options, PlanReport, Session, Tier};
use comet_tests::json::top_level_keys;
use comet_tests::program::{Program, comet_edge};
use comet_tests::shipped_model;

const NAMES: [&str; 3] = ["hands", "plants", "recycling"];

fn session(file: &str, kernels: Kernels) -> anyhow::Result<Session> {
    let model = ModelFile::read(&shipped_model(file))?;
    Ok(Session::with_options(&model, Options { threads: 1, kernels })?)
}

fn plan(file: &str, kernels: Kernels) -> anyhow::Result<PlanReport> {
    Ok(session(file, kernels)?.plan().clone())
}

/// Names of the nodes that tract runs.
fn left_to_tract(plan: &PlanReport) -> Vec<&str> {
    let left = plan.nodes.iter().filter(|node| node.runs_as == "tract");
    left.map(|node| node.name.as_str()).collect()
}

#[test]
fn int8_models_run_on_integer_kernels_as_a_whole() -> anyhow::Result<()> {
    for name in NAMES {
        for tier in Tier::available() {
            let plan = plan(&format!("{name}.int8.onnx"), Kernels::Tier(tier))?;
            assert_eq!(left_to_tract(&plan), [""; 0], "{name}");
            assert!(plan.multiplications > 0, "{name}");
            assert_eq!(plan.fused_multiplications, plan.multiplications, "{name}");
            assert_eq!((plan.fused_share(), plan.regions), (100.0, 1), "{name}");
            assert_eq!((plan.kernels.as_str(), plan.remark.as_deref()), (tier.name(), None), "{name}");
            assert!(plan.activation_bytes > 0, "{name}");
        }
    }
    Ok(())
}

#[test]
fn by_default_the_fastest_kernels_of_the_processor_are_taken() -> anyhow::Result<()> {
    for name in NAMES {
        let plan = plan(&format!("{name}.int8.onnx"), Kernels::Auto)?;
        assert_eq!(plan.kernels, Tier::detect().name(), "{name}");
    }
    Ok(())
}

#[test]
fn every_layer_of_the_int8_model_is_counted_as_in_the_float_model() -> anyhow::Result<()> {
    for name in NAMES {
        let layers = |plan: &PlanReport| {
            let layers = plan.nodes.iter().filter(|node| matches!(node.operator.as_str(), "Conv" | "Gemm"));
            layers.map(|node| node.multiplications).collect::<Vec<_>>()
        };
        let int8 = layers(&plan(&format!("{name}.int8.onnx"), Kernels::Auto)?);
        let float = layers(&plan(&format!("{name}.f32.onnx"), Kernels::Auto)?);
        assert!(int8.len() > 50 && int8.iter().all(|count| *count > 0), "{name}: {int8:?}");
        assert_eq!(int8, float, "{name}");
    }
    Ok(())
}

#[test]
fn float_models_and_forced_ones_are_left_to_tract() -> anyhow::Result<()> {
    for name in NAMES {
        for (file, kernels) in [("f32", Kernels::Auto), ("int8", Kernels::Tract)] {
            let plan = plan(&format!("{name}.{file}.onnx"), kernels)?;
            assert_eq!((plan.regions, plan.kernels.as_str()), (0, "tract"), "{name} {file}");
            assert_eq!((plan.fused_multiplications, plan.fused_share()), (0, 0.0), "{name} {file}");
            assert_eq!(left_to_tract(&plan).len(), plan.nodes.len(), "{name} {file}");
            assert!(plan.multiplications > 0, "{name} {file}");
        }
    }
    Ok(())
}

#[test]
fn every_kernel_call_of_a_frame_can_be_timed() -> anyhow::Result<()> {
    for name in NAMES {
        let int8 = session(&format!("{name}.int8.onnx"), Kernels::Auto)?;
        let float = session(&format!("{name}.f32.onnx"), Kernels::Auto)?;
        let preprocess = int8.preprocess();
        let tensor = vec![0.0; 3 * preprocess.width as usize * preprocess.height as usize];
        let times = int8.profile(&tensor)?;
        let groups = int8.plan().nodes.iter().filter(|node| node.operator == "QuantizeLinear").count();
        assert!(times.len() >= groups, "{name}: {} calls for {groups} tensors of bytes", times.len());
        assert!(times.iter().all(|(step, _)| !step.is_empty()), "{name}");
        assert!(float.profile(&tensor)?.is_empty(), "{name}");
    }
    Ok(())
}

/// `comet-edge inspect` with the kernels that it chooses by itself.
fn inspect(words: &str, file: &str) -> anyhow::Result<Program> {
    Ok(comet_edge("inspect")?.words(words).arg(shipped_model(file)).env(KERNEL_VARIABLE, ""))
}

/// The line of the summary.
fn summary(text: &str) -> &str {
    text.lines().find(|line| line.starts_with("plan ")).unwrap_or_default()
}

#[test]
fn inspect_shows_the_plan_where_it_is_asked_for() -> anyhow::Result<()> {
    let text = inspect("--plan", "hands.int8.onnx")?.run()?.succeeds()?.stdout;
    for word in ["100.0 %", Tier::detect().name()] {
        assert!(summary(&text).contains(word), "{word}: {text}");
    }
    for word in ["int8 depthwise convolution", "mask * image, quantized", "absorbed"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    let float = inspect("--plan", "hands.f32.onnx")?.run()?.succeeds()?.stdout;
    assert!(summary(&float).contains("kernels tract") && !summary(&float).contains("100.0 %"), "{float}");
    let plain = inspect("", "hands.int8.onnx")?.run()?.succeeds()?.stdout;
    assert!(summary(&plain).is_empty() && plain.lines().count() < 30, "{plain}");
    Ok(())
}

#[test]
fn inspect_gives_the_plan_as_json() -> anyhow::Result<()> {
    for name in NAMES {
        let finished = inspect("--plan --json", &format!("{name}.int8.onnx"))?.run()?.succeeds()?;
        assert_eq!(top_level_keys(&finished.stdout).last().map(String::as_str), Some("plan"), "{name}");
        let found = finished.json()?;
        let plan = &found["plan"];
        assert_eq!(plan["regions"], 1, "{name}");
        assert_eq!(plan["kernels"], Tier::detect().name(), "{name}");
        assert!(plan["remark"].is_null(), "{name}: {}", plan["remark"]);
        assert!(plan["multiplications"].as_u64().is_some_and(|count| count > 0), "{name}");
        assert_eq!(plan["fused_multiplications"], plan["multiplications"], "{name}");
        let nodes = plan["nodes"].as_array().map_or(&[][..], Vec::as_slice);
        assert!(nodes.len() > 100 && nodes.iter().all(|node| node["runs_as"] != "tract"), "{name}");
    }
    Ok(())
}
