//! `trainer export`

use std::io::Cursor;
use std::path::{Path, PathBuf};

use anyhow::Context;
use burn::tensor::Device;
use clap::Args;
use comet_edge::engine::Session;
use comet_edge::engine::proto::{Message, ModelProto};
use comet_edge::explain::{ReferenceIndex, ReferenceWriter};
use comet_edge::model::{
    FORMAT_VERSION, Fidelity, GateLimits, Manifest, Metrics, ModelFile, Precision, TrainingSummary,
    sha256_hex,
};
use comet_edge::storage::write_atomically;

use super::exit::{GateFailed, Usage};
use crate::data::{DataSet, Picture, PictureStore, Scenes, evaluation_set};
use crate::export::{Graph, float_graph, package};
use crate::metrics::{EngineSubject, EvaluationOptions, evaluate};
use crate::quant::{Method, Scheme, detector_agreement, measure, observe, quantize};
use crate::train::TrainedRun;

/// Writes selector and predictor as one ONNX file: image -> mask, logits.
///
/// With --quantize the file is int8, and is written only if its maps and classes stay close enough to those of
/// the float file on validation pictures, measured on the engine of comet-edge.
#[derive(Args)]
#[command(after_help = "Examples:
  trainer export runs/plants -o plants.f32.onnx
  trainer export runs/plants --quantize -o plants.int8.onnx --float-out plants.f32.onnx
  trainer export runs/plants --quantize -o plants.int8.onnx --reference-out calib/plants
  trainer export runs/plants --quantize --with-detector -o plants.int8.onnx")]
pub(super) struct ExportArgs {
    /// The run's folder.
    run: PathBuf,
    /// File to write.
    #[arg(short, long, value_name = "FILE.onnx")]
    output: PathBuf,
    /// Writes int8 instead of float.
    #[arg(long)]
    quantize: bool,
    /// Lets the file carry the frozen detector too: a third output, left_out_logits.
    #[arg(long)]
    with_detector: bool,
    /// Name in the manifest; the run's folder name without it.
    #[arg(long)]
    name: Option<String>,
    /// Which checkpoint: best or last.
    #[arg(long, default_value = "best", value_parser = ["best", "last"])]
    checkpoint: String,
    /// Data set, if it is no longer where the run found it.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Scenes, if they are no longer where the run found them.
    #[arg(long, value_name = "DIR")]
    scenes: Option<PathBuf>,
    /// Also writes the float file.
    #[arg(long, value_name = "FILE.onnx", requires = "quantize")]
    float_out: Option<PathBuf>,
    /// Also writes validation pictures with the float file's answers, for `comet-edge verify --calib`.
    #[arg(long, value_name = "DIR")]
    reference_out: Option<PathBuf>,
    /// Pictures in --reference-out.
    #[arg(long, default_value_t = 64, value_name = "N")]
    reference_count: usize,
    #[command(flatten)]
    calibration: Calibration,
    #[command(flatten)]
    gate: Gate,
}

#[derive(Args)]
#[command(next_help_heading = "Calibration")]
struct Calibration {
    /// Calibration pictures; without it the training split (pasted as in training).
    #[arg(long, value_name = "DIR")]
    calib: Option<PathBuf>,
    /// How many pictures to measure ranges on.
    #[arg(long, default_value_t = 256, value_name = "N")]
    calib_images: usize,
    /// minmax, percentile or mse.
    #[arg(long, default_value = "mse")]
    method: Method,
    /// Leaves biases as they are.
    #[arg(long)]
    no_bias_correction: bool,
}

#[derive(Args)]
#[command(next_help_heading = "Gate (int8 against float, on the validation split)")]
struct Gate {
    /// Largest mean absolute difference of the maps.
    #[arg(long, default_value_t = GateLimits::default().max_mask_mae)]
    max_mask_mae: f64,
    /// Smallest mean IoU of the maps at 0.5.
    #[arg(long, default_value_t = GateLimits::default().min_mask_iou)]
    min_mask_iou: f64,
    /// Smallest 5th percentile of the maps' IoU.
    #[arg(long, default_value_t = GateLimits::default().min_mask_iou_p5)]
    min_mask_iou_p5: f64,
    /// Smallest mean Pearson correlation of the maps.
    #[arg(long, default_value_t = GateLimits::default().min_mask_pearson, allow_negative_numbers = true)]
    min_mask_pearson: f64,
    /// Smallest share of equal labels, in percent.
    #[arg(long, default_value_t = GateLimits::default().min_agreement)]
    min_agreement: f64,
    /// Largest loss of accuracy, in points.
    #[arg(long, default_value_t = GateLimits::default().max_accuracy_drop)]
    max_accuracy_drop: f64,
}

impl Gate {
    fn limits(&self) -> GateLimits {
        GateLimits {
            max_mask_mae: self.max_mask_mae,
            min_mask_iou: self.min_mask_iou,
            min_mask_iou_p5: self.min_mask_iou_p5,
            min_mask_pearson: self.min_mask_pearson,
            min_agreement: self.min_agreement,
            max_accuracy_drop: self.max_accuracy_drop,
        }
    }
}

/// The pictures that an export needs.
struct Pictures {
    /// Training pictures as they are shown in training: to measure ranges on.
    calibration: Vec<Picture>,
    /// Validation pictures, pasted as in training: for the gate.
    held_out: Vec<Picture>,
    /// Validation pictures as they are: for the manifest's metrics and the reference set.
    plain: Vec<Picture>,
}

pub(super) fn run(args: &ExportArgs) -> anyhow::Result<()> {
    let run = TrainedRun::read(&args.run, &args.checkpoint, &Device::flex())?;
    let pictures = read_pictures(args, &run)?;
    let size = (run.config.size as usize, run.config.size as usize);
    let mut manifest = manifest(args, &run);
    if args.with_detector && run.position.detector_accuracy.is_none() {
        eprintln!(
            "warning: this run trained no detector (detector-epochs = 0): its answers are worth what --init-predictor gave it"
        );
    }
    let detector = args.with_detector.then_some(run.detector);
    let graph = float_graph(run.comet, detector, size.0, size.1)?;
    let draft = package(graph.clone(), &manifest)?;
    manifest.metrics = Some(metrics(&draft, &pictures.plain)?);
    let float_bytes = package(graph.clone(), &manifest)?;
    let float = ModelFile::parse("float file", &float_bytes, true)?;
    let float_path = if args.quantize { args.float_out.as_deref() } else { Some(args.output.as_path()) };
    let mut outputs = Vec::new();
    if let Some(path) = float_path {
        outputs.push((path, float_bytes.clone()));
    }
    if args.quantize {
        let bytes = quantized(args, &graph, &float, &float_bytes, manifest, &pictures)?;
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
        Some(folder) => write_reference(folder, &float, &pictures.plain, args.reference_count),
        None => Ok(()),
    }
}

fn read_pictures(args: &ExportArgs, run: &TrainedRun) -> anyhow::Result<Pictures> {
    let data = args
        .data
        .clone()
        .or(run.info.sources.data.clone())
        .ok_or_else(|| Usage("the run does not say where its data are: give --data DIR".into()))?;
    let preprocess = &run.info.preprocess;
    let classes = &run.info.classes;
    let seed = run.config.seed;
    let set = DataSet::scan(&data, seed)?;
    let open = |items| PictureStore::open(items, preprocess.clone()).0;
    let paste = run.info.data.paste;
    let scenes = match args.scenes.clone().or(run.info.sources.scenes.clone()) {
        Some(folder) if paste > 0.0 => Some(Scenes::read(&folder, (preprocess.width, preprocess.height))?.0),
        _ => None,
    };
    let calibration = match &args.calibration.calib {
        Some(folder) => {
            let set = DataSet::scan(folder, seed)?;
            let split = set.splits().next().unwrap_or("train").to_owned();
            evaluation_set(&open(set.split_for(&split, classes)?), None, 0.0, seed)
        }
        None => evaluation_set(&open(set.split_for("train", classes)?), scenes.as_ref(), paste, seed),
    };
    let val = open(set.split_for("val", classes)?);
    anyhow::ensure!(!val.is_empty(), "{}: no validation picture can be read", data.display());
    Ok(Pictures {
        calibration: spread(calibration, args.calibration.calib_images),
        held_out: evaluation_set(&val, scenes.as_ref(), paste, seed),
        plain: evaluation_set(&val, None, 0.0, seed),
    })
}

/// `count` of the pictures, evenly over all of them, so that every class is there.
fn spread(pictures: Vec<Picture>, count: usize) -> Vec<Picture> {
    let all = pictures.len().max(1);
    let count = count.min(all);
    let chosen = |index: &usize| index * count / all != (index + 1) * count / all;
    let pictures = pictures.into_iter().enumerate();
    pictures.filter(|(index, _)| chosen(index)).map(|(_, picture)| picture).collect()
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

/// Metrics of the float file on the validation pictures as they are.
fn metrics(file: &[u8], pictures: &[Picture]) -> anyhow::Result<Metrics> {
    let model = ModelFile::parse("float file", file, true)?;
    let mut subject = EngineSubject::new(&model)?;
    let options = EvaluationOptions { full: false, keep: 0, ..EvaluationOptions::default() };
    let preprocess = &model.manifest().preprocess;
    let mut evaluation = evaluate(&mut subject, pictures, preprocess, &options, &mut |_, _| {})?;
    evaluation.split = "val".into();
    Ok(Metrics::from(&evaluation))
}

fn quantized(
    args: &ExportArgs,
    graph: &Graph,
    float: &ModelFile,
    float_bytes: &[u8],
    manifest: Manifest,
    pictures: &Pictures,
) -> anyhow::Result<Vec<u8>> {
    let preprocess = &manifest.preprocess;
    let tensors: Vec<Vec<f32>> =
        pictures.calibration.iter().map(|picture| preprocess.normalise(&picture.image)).collect();
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
    let fidelity = measure(float, &model, &pictures.held_out)?;
    print_gate(&fidelity, &limits);
    if let Some(agreement) = detector_agreement(float, &model, &pictures.held_out)? {
        eprintln!("  detector's agreement    {agreement:.2} %  (on what is left out; no limit)");
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
    eprintln!("gate: int8 against float on {} validation pictures", found.n);
    eprintln!("  map MAE                 {:.5}  (at most {})", found.mask_mae, limits.max_mask_mae);
    eprintln!("  map IoU at 0.5, mean    {:.4}   (at least {})", found.mask_iou_mean, limits.min_mask_iou);
    eprintln!("  map IoU at 0.5, 5th pct {:.4}   (at least {})", found.mask_iou_p5, limits.min_mask_iou_p5);
    eprintln!("  map Pearson r           {:.4}   (at least {})", found.mask_pearson, limits.min_mask_pearson);
    eprintln!("  label agreement         {:.2} %  (at least {} %)", found.agreement, limits.min_agreement);
    if let Some(drop) = found.accuracy_drop {
        eprintln!("  accuracy drop           {drop:.2} points (at most {})", limits.max_accuracy_drop);
    }
}

fn write_reference(
    folder: &Path,
    float: &ModelFile,
    pictures: &[Picture],
    count: usize,
) -> anyhow::Result<()> {
    let mut session = Session::new(float)?;
    let mut writer = ReferenceWriter::new(folder, ReferenceIndex::of(float));
    let chosen = spread(pictures.to_vec(), count);
    for (index, picture) in chosen.iter().enumerate() {
        let mut png = Cursor::new(Vec::new());
        picture.image.write_to(&mut png, image::ImageFormat::Png)?;
        let answer = session.explain(&picture.image)?;
        let class = float.manifest().classes.get(picture.class).cloned().unwrap_or_default();
        writer.add(&class, &format!("{index:04}.png"), png.get_ref(), &answer)?;
    }
    writer.finish()?;
    eprintln!("wrote {} with {} pictures", folder.display(), chosen.len());
    Ok(())
}
