//! The integer kernels of every processor and any number of threads give the same prediction, bit for bit, and what they
//! take over computes what tract computes.

use std::path::PathBuf;

use comet_engine::image::read_rgb;
use comet_engine::model::MASKED;
use comet_engine::model::ModelFile;
use comet_engine::run::{KERNEL_VARIABLE, Kernels, Options, PredictorSession, Session, Tier};
use comet_tests::closeness::{bits, largest_difference, mean_difference};
use comet_tests::fixture::{entries, first_file};
use comet_tests::program::{Program, comet_edge};
use comet_tests::{repository, shipped_model};
use image::RgbImage;

const NAMES: [&str; 3] = ["hands", "plants", "recycling"];
const THREADS: [usize; 3] = [1, 2, 3];

/// One step of an 8-bit map is 1/255: tract, which adds floats in another order, may round a few values differently.
const MAP_MAE: f32 = 0.004;
/// The same for a logit; those of the shipped models span about 30.
const LOGITS: f32 = 0.5;

fn model(name: &str) -> anyhow::Result<ModelFile> {
    Ok(ModelFile::read(&shipped_model(&format!("{name}.int8.onnx")))?)
}

/// An image of every third class of a calibration set.
fn files(name: &str) -> anyhow::Result<Vec<PathBuf>> {
    let classes = entries(&repository().join("calib").join(name).join("images"))?;
    classes.iter().step_by(3).map(|class| first_file(class)).collect()
}

fn images(name: &str) -> anyhow::Result<Vec<RgbImage>> {
    Ok(files(name)?.iter().map(|file| read_rgb(file)).collect::<Result<_, _>>()?)
}

/// Every combination of kernels and threads; the reference comes first.
fn combinations() -> Vec<Options> {
    let tiers: Vec<Tier> = [Tier::Scalar].into_iter().chain(Tier::available()).collect();
    let all = |tier: Tier| THREADS.map(|threads| Options { threads, kernels: Kernels::Tier(tier) });
    tiers.into_iter().flat_map(all).collect()
}

#[test]
fn every_tier_and_any_number_of_threads_give_the_same_bits() -> anyhow::Result<()> {
    for name in NAMES {
        let (model, images) = (model(name)?, images(name)?);
        assert!(images.len() >= 3, "{name}");
        let mut first: Option<Vec<_>> = None;
        for options in combinations() {
            let mut session = Session::with_options(&model, options)?;
            let mut predictions = Vec::new();
            for image in &images {
                let prediction = session.explain(image)?;
                assert!(prediction.is_valid(), "{name} {options:?}");
                predictions.push((bits(prediction.mask.values()), bits(&prediction.logits)));
            }
            // Not `assert_eq`: it would print thousands of numbers.
            assert!(*first.get_or_insert_with(|| predictions.clone()) == predictions, "{name} {options:?}");
        }
    }
    Ok(())
}

#[test]
fn a_session_and_its_clone_give_the_same_bits_again_and_again() -> anyhow::Result<()> {
    let (model, images) = (model("hands")?, images("hands")?);
    let mut session = Session::with_options(&model, Options { threads: 2, kernels: Kernels::Auto })?;
    let mut clone = session.clone();
    let explain = |index: usize, session: &mut Session| {
        session
            .explain(&images[index])
            .map(|prediction| (bits(prediction.mask.values()), bits(&prediction.logits)))
    };
    let alone = explain(0, &mut session)?;
    // What another image left in the memory must not show.
    explain(1, &mut session)?;
    explain(2, &mut clone)?;
    assert!(explain(0, &mut session)? == alone && explain(0, &mut clone)? == alone);
    Ok(())
}

#[test]
fn integer_kernels_mean_what_the_graph_means_in_tract() -> anyhow::Result<()> {
    for name in NAMES {
        let model = model(name)?;
        let mut ours = Session::with_options(&model, Options { threads: 1, kernels: Kernels::Auto })?;
        let mut tract = Session::with_options(&model, Options { threads: 1, kernels: Kernels::Tract })?;
        for (file, image) in files(name)?.iter().zip(images(name)?) {
            let (ours, tract) = (ours.explain(&image)?, tract.explain(&image)?);
            let file = file.display();
            assert_eq!(ours.top(), tract.top(), "{file}");
            let map = mean_difference(ours.mask.values(), tract.mask.values());
            assert!(map <= MAP_MAE, "{file}: the maps' mean absolute difference is {map}");
            let logits = largest_difference(&ours.logits, &tract.logits);
            assert!(logits <= LOGITS, "{file}: a logit differs by {logits}");
        }
    }
    Ok(())
}

/// `mask * image`, as the graph has it.
fn masked(tensor: &[f32], mask: &[f32]) -> Vec<f32> {
    tensor.chunks(mask.len()).flat_map(|plane| plane.iter().zip(mask).map(|(x, m)| x * m)).collect()
}

#[test]
fn the_predictor_alone_gives_the_same_bits_and_those_of_the_whole_model() -> anyhow::Result<()> {
    for name in NAMES {
        let (model, images) = (model(name)?, images(name)?);
        let mut whole = Session::with_options(&model, Options { threads: 1, kernels: Kernels::Auto })?;
        let mut cases = Vec::new();
        for image in &images {
            let tensor = whole.preprocess().tensor(image);
            let prediction = whole.run(&tensor)?;
            cases.push((masked(&tensor, prediction.mask.values()), prediction.logits));
        }
        for options in combinations() {
            let predictor = PredictorSession::with_options(&model, options)?;
            for (masked, logits) in &cases {
                let alone = predictor.run(masked)?;
                assert!(bits(&alone) == bits(logits), "{name} {options:?}: not as behind '{MASKED}'");
            }
        }
        let tract = Options { threads: 1, kernels: Kernels::Tract };
        let tract = PredictorSession::with_options(&model, tract)?;
        for (masked, logits) in &cases {
            let difference = largest_difference(&tract.run(masked)?, logits);
            assert!(difference <= LOGITS, "{name}: a logit differs by {difference}");
        }
    }
    Ok(())
}

/// `comet-edge predict --json` on a few images, with the kernels `kernel`.
fn predict(kernel: &str) -> anyhow::Result<Program> {
    let program = comet_edge("predict --json --model")?.arg(shipped_model("hands.int8.onnx"));
    let program = files("hands")?.iter().fold(program, |program, file| program.arg(file));
    Ok(program.env(KERNEL_VARIABLE, kernel))
}

#[test]
fn the_program_says_the_same_with_every_kernel_that_can_be_forced() -> anyhow::Result<()> {
    let fields = ["class", "index", "scores", "mask"];
    let by_default = predict("")?.run()?.succeeds()?.json_lines()?;
    assert_eq!(by_default.len(), files("hands")?.len());
    for tier in Tier::available() {
        let forced = predict(tier.name())?.run()?.succeeds()?.json_lines()?;
        assert_eq!(forced.len(), by_default.len(), "{tier:?}");
        for (forced, usual) in forced.iter().zip(&by_default) {
            for field in fields {
                assert_eq!(forced[field], usual[field], "{tier:?}, {field} of {}", usual["source"]);
            }
        }
    }
    let tract = predict("tract")?.run()?.succeeds()?.json_lines()?;
    assert!(tract.iter().zip(&by_default).all(|(tract, usual)| tract["class"] == usual["class"]));
    Ok(())
}

/// Code 3, the model's, because it is found where a model is prepared.
#[test]
fn kernels_that_do_not_exist_are_refused_with_a_list_of_those_that_do() -> anyhow::Result<()> {
    let known: Vec<&str> = Tier::available().map(Tier::name).chain(["tract"]).collect();
    for kernel in ["nonsense", "SCALAR", "neon-sve", " scalar"] {
        let finished = predict(kernel)?.run()?.ends_with(3)?.says(&[KERNEL_VARIABLE, kernel])?;
        let finished = finished.says(&known)?;
        assert!(finished.stdout.is_empty(), "{}", finished.stdout);
    }
    let absent = Tier::ALL.into_iter().find(|tier| !tier.is_available());
    let absent = absent.map_or("z80", Tier::name);
    predict(absent)?.run()?.ends_with(3)?.says(&[absent, "this processor has"])?;
    Ok(())
}

/// What a processor without dot products may choose: only the weights are still those of the int8 file.
#[test]
fn without_quantization_a_model_is_nearly_its_float_file() -> anyhow::Result<()> {
    for name in NAMES {
        let float = ModelFile::read(&shipped_model(&format!("{name}.f32.onnx")))?;
        let mut float = Session::with_options(&float, Options { threads: 1, kernels: Kernels::Auto })?;
        let mut taken_out =
            Session::with_options(&model(name)?, Options { threads: 1, kernels: Kernels::Float })?;
        assert_eq!(taken_out.plan().kernels, "float");
        for image in images(name)? {
            let (expected, found) = (float.explain(&image)?, taken_out.explain(&image)?);
            assert_eq!(expected.top(), found.top(), "{name}");
            let distance = mean_difference(expected.mask.values(), found.mask.values());
            assert!(distance <= 0.01, "{name}: maps {distance} apart");
        }
    }
    Ok(())
}
