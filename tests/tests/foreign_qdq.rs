//! Models that another program quantized, in the usual ways, against ONNX Runtime
//! (`tests/reference/make_foreign_qdq.py`).

use std::ops::RangeInclusive;

use anyhow::Context;
use comet_engine::prediction::Explanation;
use comet_engine::run::{KERNEL_VARIABLE, Kernels, Options, PlanReport, Session, Tier};
use comet_tests::closeness::{bits, largest_difference, mean_difference};
use comet_tests::foreign::{Golden, Prediction, golden, parse, path, proto};
use comet_tests::program::comet_edge;
use image::RgbImage;

/// What becomes of each file: its regions, and the share of multiplications that integer kernels do, in percent.
///
/// The quantizer puts the Resize and the masked image between quantizers, too: they stay with tract, and divide the
/// graph. Only `one_region` leaves them real, as the trainer does.
const PLANS: [(&str, RangeInclusive<usize>, RangeInclusive<f64>); 9] = [
    ("u8_per_channel", 1..=3, 100.0..=100.0),
    ("s8_symmetric", 1..=3, 100.0..=100.0),
    ("u8_per_tensor", 1..=3, 100.0..=100.0),
    ("u8_symmetric_weights", 1..=3, 100.0..=100.0),
    // Kernels multiply bytes with weights around 0; of these layers only `conv1` happens to have such ones.
    ("u8_asymmetric_weights", 12..=12, 55.0..=56.0),
    ("one_region", 1..=1, 100.0..=100.0),
    ("one_conv_left_out", 2..=4, 50.0..=99.0),
    // A depthwise convolution whose HardSwish reads real numbers is left.
    ("no_quantizer_after_conv", 1..=5, 90.0..=100.0),
    ("convolutions_as_operators", 0..=0, 0.0..=0.0),
];

/// Mean absolute difference of the maps: two steps and a half of an 8-bit map. A value that lies between two bytes may
/// go to either, and takes its surroundings along.
const MAP_MAE: f32 = 0.01;
/// Steps of an 8-bit logit. A byte that went the other way moves a logit by a step or two, and each of the ten layers
/// before has some; the two largest logits are at least twice as far apart, so that the class cannot change.
const LOGIT_STEPS: f32 = 8.0;

fn session(name: &str, threads: usize, kernels: Kernels) -> anyhow::Result<Session> {
    let model = parse(name, &proto(name)?)?;
    let session = Session::with_options(&model, Options { threads, kernels });
    session.with_context(|| format!("{name} with {kernels:?}"))
}

fn plan(name: &str, kernels: Kernels) -> anyhow::Result<PlanReport> {
    Ok(session(name, 1, kernels)?.plan().clone())
}

#[test]
fn every_file_is_planned_as_expected() -> anyhow::Result<()> {
    let golden = golden()?;
    assert!(golden.models.iter().all(|model| PLANS.iter().any(|(name, ..)| *name == model.name)));
    for (name, regions, share) in PLANS {
        let plan = plan(name, Kernels::Auto)?;
        let found = format!("{name}: {} regions, {:.2} %", plan.regions, plan.fused_share());
        assert!(regions.contains(&plan.regions) && share.contains(&plan.fused_share()), "{found}");
        let kernels = if plan.regions == 0 { "tract" } else { Tier::detect().name() };
        assert_eq!(plan.kernels, kernels, "{name}");
        let left = plan.nodes.iter().filter(|node| node.runs_as == "tract").count();
        assert_eq!(plan.remark.is_some(), plan.regions > 0 && left > 0, "{found}, {left} nodes left");
        assert_eq!(self::plan(name, Kernels::Tract)?.regions, 0, "{name}");
    }
    Ok(())
}

#[test]
fn what_the_quantizer_left_out_is_all_that_is_left_out() -> anyhow::Result<()> {
    let plan = plan("one_conv_left_out", Kernels::Auto)?;
    let layers = || plan.nodes.iter().filter(|node| matches!(node.operator.as_str(), "Conv" | "Gemm"));
    for layer in layers() {
        assert_eq!(layer.runs_as == "tract", layer.name == "block_1", "{}: {}", layer.name, layer.runs_as);
        assert!(layer.multiplications > 0, "{}", layer.name);
    }
    let left: u64 = layers().filter(|node| node.name == "block_1").map(|node| node.multiplications).sum();
    assert_eq!(plan.fused_multiplications, plan.multiplications - left);
    Ok(())
}

fn check(what: &str, golden: &Golden, ours: &Explanation, expected: &Prediction) {
    assert!(ours.is_valid(), "{what}");
    let mask: Vec<f32> = ours.mask.values().iter().step_by(golden.stride).copied().collect();
    let map = mean_difference(&mask, &expected.mask);
    assert!(map <= MAP_MAE, "{what}: the maps' mean absolute difference is {map}");
    let steps = largest_difference(&ours.logits, &expected.logits) / golden.logit_step;
    assert!(steps <= LOGIT_STEPS, "{what}: a logit differs by {steps} steps");
    let top = (0..expected.logits.len()).max_by(|&a, &b| expected.logits[a].total_cmp(&expected.logits[b]));
    assert_eq!(Some(ours.top()), top, "{what}");
}

#[test]
fn every_file_predicts_as_in_onnx_runtime() -> anyhow::Result<()> {
    let golden = golden()?;
    for model in &golden.models {
        // Tract loads all of them: it has to give the same predictions.
        for kernels in [Kernels::Auto, Kernels::Tier(Tier::Scalar), Kernels::Tract] {
            let mut session = session(&model.name, 1, kernels)?;
            for (number, (image, expected)) in golden.images.iter().zip(&model.predictions).enumerate() {
                let what = format!("{} with {kernels:?}, image {number}", model.name);
                let prediction = session.explain(image).with_context(|| what.clone())?;
                check(&what, &golden, &prediction, expected);
            }
        }
    }
    Ok(())
}

/// Bits of the maps and logits of all images.
fn predictions(session: &mut Session, images: &[RgbImage]) -> anyhow::Result<Vec<Vec<u32>>> {
    let mut all = Vec::new();
    for image in images {
        let prediction = session.explain(image)?;
        all.extend([bits(prediction.mask.values()), bits(&prediction.logits)]);
    }
    Ok(all)
}

#[test]
fn the_bits_do_not_depend_on_kernels_or_threads_even_where_tract_runs_a_part() -> anyhow::Result<()> {
    let golden = golden()?;
    for model in &golden.models {
        let reference =
            predictions(&mut session(&model.name, 1, Kernels::Tier(Tier::Scalar))?, &golden.images)?;
        for tier in Tier::available() {
            for threads in [1, 2, 3] {
                let mut session = session(&model.name, threads, Kernels::Tier(tier))?;
                let same = predictions(&mut session, &golden.images)? == reference;
                assert!(same, "{} with {tier:?} and {threads} threads", model.name);
            }
        }
    }
    Ok(())
}

#[test]
fn clones_that_run_at_the_same_time_do_not_disturb_each_other() -> anyhow::Result<()> {
    let golden = golden()?;
    for name in ["one_region", "one_conv_left_out"] {
        let mut session = session(name, 2, Kernels::Auto)?;
        let expected = predictions(&mut session, &golden.images)?;
        let again = |mut session: Session| predictions(&mut session, &golden.images);
        let both = std::thread::scope(|scope| {
            let (one, other) = (session.clone(), session.clone());
            [scope.spawn(|| again(one)), scope.spawn(|| again(other))].map(|thread| thread.join().ok())
        });
        for found in both {
            let found = found.with_context(|| format!("{name}: a thread panicked"))??;
            assert!(found == expected, "{name}");
        }
    }
    Ok(())
}

#[test]
fn the_program_takes_such_a_file_on_demand() -> anyhow::Result<()> {
    let golden = golden()?;
    let folder = tempfile::tempdir()?;
    let photo = folder.path().join("photo.png");
    golden.images[0].save(&photo)?;
    for model in &golden.models {
        let program = comet_edge("predict --json --model")?.arg(path(&model.name)).arg(&photo);
        let program = program.env(KERNEL_VARIABLE, "");
        program.run()?.ends_with(3)?.says(&["carries no checksum", "--skip-hash"])?;
        let prediction = program.arg("--skip-hash").run()?.succeeds()?.json()?;
        let logits = &model.predictions[0].logits;
        let top = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b]));
        assert_eq!(prediction["index"].as_u64().map(|index| index as usize), top, "{}", model.name);
    }
    Ok(())
}
