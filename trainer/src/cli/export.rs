//! `trainer export`

mod agreement;
mod args;
mod images;

use std::io::Cursor;
use std::path::Path;

use anyhow::Context;
use burn::tensor::Device;
use comet_engine::explain::{ReferenceIndex, ReferenceWriter};
use comet_engine::model::{
    FORMAT_VERSION, Fidelity, GateLimits, Manifest, Metrics, ModelFile, Precision, TrainingSummary,
    sha256_hex,
};
use comet_engine::run::Session;
use comet_engine::storage::write_atomically;
use comet_onnx::GraphEditor;
use comet_onnx::proto::{Message, ModelProto};

pub(super) use self::args::ExportArgs;

use self::agreement::{burn_predictions, check_agreement};
use self::images::{ExportImages, spread};
use super::exit::GateFailed;
use crate::data::Sample;
use crate::export::{float_graph, package};
use crate::metrics::{
    Calibration, EngineModel, EvaluationOptions, TemperatureSource, evaluate, fit_temperature,
};
use crate::quant::{Scheme, detector_agreement, measure, observe, quantize};
use crate::train::TrainedRun;

pub(super) fn run(args: &ExportArgs) -> anyhow::Result<()> {
    let run = TrainedRun::read(&args.run, &args.checkpoint, &Device::flex())?;
    let images = ExportImages::read(args, &run)?;
    let size = (run.config.size as usize, run.config.size as usize);
    let mut manifest = manifest(args, &run);
    if args.with_detector && run.position.detector_accuracy.is_none() {
        eprintln!(
            "warning: this run trained no detector (detector-epochs = 0): its predictions depend on what --init-predictor gave it"
        );
    }
    let compared = spread(&images.plain, agreement::IMAGES);
    let expected = burn_predictions(&run, &compared)?;
    let detector = args.with_detector.then_some(run.detector);
    let graph = float_graph(run.comet, detector, size.0, size.1)?;
    let draft = ModelFile::parse("float file", &package(graph.clone(), &manifest)?, true)?;
    check_agreement(&draft, &compared, &expected)?;
    let (metrics, calibration) = measured(&draft, &images.plain)?;
    print_temperature(&calibration);
    manifest.metrics = Some(metrics);
    // The int8 file gets it too: it has to agree with this one, and its own logits are nearly the same.
    manifest.temperature = calibration.temperature;
    let float_bytes = package(graph.clone(), &manifest)?;
    let float = ModelFile::parse("float file", &float_bytes, true)?;
    let float_path = if args.quantize { args.float_out.as_deref() } else { Some(args.output.as_path()) };
    let mut outputs = Vec::new();
    if let Some(path) = float_path {
        outputs.push((path, float_bytes.clone()));
    }
    if args.quantize {
        let bytes = quantized(args, &graph, &float, &float_bytes, manifest, &images)?;
        outputs.push((args.output.as_path(), bytes));
    }
    // Written only now, after the gate: a failed one leaves nothing behind.
    for (path, bytes) in outputs {
        write_atomically(path, &bytes).with_context(|| path.display().to_string())?;
        eprintln!(
            "wrote {} ({:.2} MB, SHA-256 {})",
            path.display(),
            bytes.len() as f64 / 1e6,
            sha256_hex(&bytes)
        );
    }
    match &args.reference_out {
        Some(folder) => write_reference(folder, &float, &images.plain, args.reference_count),
        None => Ok(()),
    }
}

fn manifest(args: &ExportArgs, run: &TrainedRun) -> Manifest {
    let folder = args.run.file_name().map(|name| name.to_string_lossy().into_owned());
    let config = &run.config;
    Manifest {
        format_version: FORMAT_VERSION,
        name: args.name.clone().or(folder).unwrap_or_else(|| "comet".into()),
        writer: format!("comet-trainer {}", env!("CARGO_PKG_VERSION")),
        classes: run.info.classes.clone(),
        preprocess: run.info.preprocess.clone(),
        fill: 0.0,
        temperature: 1.0,
        precision: Precision::Float32,
        preset: config.preset.name().to_owned(),
        training: TrainingSummary {
            completeness: config.objective.completeness.to_string(),
            alpha: config.objective.alpha,
            beta: config.objective.beta,
            target_area: config.objective.target_area,
            detector_epochs: config.detector_epochs,
            epochs: config.epochs,
            best_epoch: run.position.epoch,
            seed: config.seed,
            seconds: run.position.seconds.round(),
            device: run.info.device.clone(),
        },
        data: run.info.data.clone(),
        metrics: None,
        float_sha256: None,
        fidelity: None,
        limits: None,
    }
}

/// Metrics of the float file on the validation images as they are, and its probabilities with the temperature that fits
/// them.
fn measured(file: &ModelFile, samples: &[Sample]) -> anyhow::Result<(Metrics, Calibration)> {
    let mut model = EngineModel::new(file)?;
    let options = EvaluationOptions { full: false, keep: 0, logits: true, ..EvaluationOptions::default() };
    let preprocess = &file.manifest().preprocess;
    let mut evaluation = evaluate(&mut model, samples, preprocess, &options, &mut |_, _| {})?;
    evaluation.split = "val".into();
    let temperature = fit_temperature(&evaluation.logits);
    let calibration = Calibration::measure(&evaluation.logits, temperature, TemperatureSource::TheseImages);
    Ok((Metrics::from(&evaluation), calibration))
}

fn print_temperature(found: &Calibration) {
    let Calibration { n, temperature, before, after, .. } = found;
    if found.temperature_from == TemperatureSource::None {
        eprintln!(
            "temperature of the probabilities: 1. None was fitted: not one of the {n} validation images is named wrong"
        );
        return;
    }
    eprintln!(
        "temperature of the probabilities: {temperature}, fitted on {n} validation images (ECE {:.1} % -> {:.1} %, NLL {:.3} -> {:.3} nats)",
        before.ece, after.ece, before.nll, after.nll
    );
}

fn quantized(
    args: &ExportArgs,
    graph: &GraphEditor,
    float: &ModelFile,
    float_bytes: &[u8],
    manifest: Manifest,
    images: &ExportImages,
) -> anyhow::Result<Vec<u8>> {
    let preprocess = &manifest.preprocess;
    let tensors: Vec<Vec<f32>> =
        images.calibration.iter().map(|sample| preprocess.normalise(&sample.image)).collect();
    let scheme = Scheme::of(graph)?;
    let size = (preprocess.height as usize, preprocess.width as usize);
    let proto = ModelProto::decode(float_bytes)?;
    let found = observe(graph, &proto, size, &scheme, &tensors, args.calibration.method)?;
    let integer = quantize(graph, &scheme, &found, !args.calibration.no_bias_correction)?;
    let limits = args.gate.limits();
    let draft = Manifest {
        precision: Precision::Int8,
        float_sha256: Some(float.sha256().to_owned()),
        limits: Some(limits),
        ..manifest
    };
    let bytes = package(integer.clone(), &draft)?;
    let model = ModelFile::parse("int8 file", &bytes, true)?;
    let fidelity = measure(float, &model, images.held_out())?;
    print_gate(&fidelity, &limits);
    if let Some(agreement) = detector_agreement(float, &model, images.held_out())? {
        eprintln!("  detector's agreement    {agreement:.2} %  (on what the map leaves out; no limit)");
    }
    let misses = limits.misses(&fidelity);
    if !misses.is_empty() {
        let text = misses.join("\n  ");
        return Err(GateFailed(format!(
            "the gate failed and nothing was written:\n  {text}\nhint: try another --method, more --calib-images, or longer training; --max-mask-mae and its like set the limits"
        ))
        .into());
    }
    Ok(package(integer, &Manifest { fidelity: Some(fidelity), ..draft })?)
}

fn print_gate(found: &Fidelity, limits: &GateLimits) {
    eprintln!("gate: int8 against float on {} validation images", found.n);
    eprintln!("  map MAE                 {:.5}  (at most {})", found.mask_mae, limits.max_mask_mae);
    eprintln!("  map IoU at 0.5, mean    {:.4}   (at least {})", found.mask_iou_mean, limits.min_mask_iou);
    eprintln!("  map IoU at 0.5, 5th pct {:.4}   (at least {})", found.mask_iou_p5, limits.min_mask_iou_p5);
    eprintln!("  map Pearson r           {:.4}   (at least {})", found.mask_pearson, limits.min_mask_pearson);
    eprintln!("  label agreement         {:.2} %  (at least {} %)", found.agreement, limits.min_agreement);
    if let Some(drop) = found.accuracy_drop {
        eprintln!("  accuracy drop           {drop:.2} points (at most {})", limits.max_accuracy_drop);
    }
}

fn write_reference(folder: &Path, float: &ModelFile, samples: &[Sample], count: usize) -> anyhow::Result<()> {
    let mut session = Session::new(float)?;
    let mut writer = ReferenceWriter::new(folder, ReferenceIndex::of(float));
    let chosen = spread(samples, count);
    for (index, sample) in chosen.iter().enumerate() {
        let mut png = Cursor::new(Vec::new());
        sample.image.write_to(&mut png, image::ImageFormat::Png)?;
        let explanation = session.explain(&sample.image)?;
        let class = float.manifest().classes.get(sample.class).cloned().unwrap_or_default();
        writer.add(&class, &format!("{index:04}.png"), png.get_ref(), &explanation)?;
    }
    writer.finish()?;
    eprintln!("wrote {} with {} images", folder.display(), chosen.len());
    Ok(())
}
