//! `trainer eval`

mod temperature;

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use comet_engine::image::Preprocess;
use comet_engine::model::ModelFile;
use comet_engine::storage::write_atomically;

use self::temperature::{Subject, calibration};
use super::images;
use crate::data::{EvaluationImages, SampleStore, Scenes};
use crate::metrics::{EngineModel, Evaluation, EvaluationOptions, ModelUnderTest, evaluate_stream};
use crate::report::{curves_svg, evaluation_html, evaluation_sheet, png_bytes, training_panels};
use crate::train::{BurnModel, DeviceChoice, TrainConfig, TrainedRun, is_run, open_device, read_records};

const SHEET_COLUMNS: usize = 4;
const SHEET_CELL: u32 = 96;

/// A run is measured with Burn, a model file with the engine of comet-edge; the measures are the same code.
#[derive(Args)]
pub(super) struct EvalArgs {
    /// A run's folder, or a model file (.onnx).
    #[arg(value_name = "RUN|MODEL")]
    model: PathBuf,
    /// Data set.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Split.
    #[arg(long, default_value = "val")]
    split: String,
    /// Pastes images on these scenes first; needs masks.
    #[arg(long, value_name = "DIR")]
    scenes: Option<PathBuf>,
    /// Share of images that are pasted.
    #[arg(long, default_value_t = 1.0, requires = "scenes")]
    paste: f64,
    /// Seed of pasting and noise; without it the one that the model was trained with.
    #[arg(long)]
    seed: Option<u64>,
    /// Which checkpoint of a run: best or last.
    #[arg(long, default_value = "best", value_parser = ["best", "last"])]
    checkpoint: String,
    /// Device of a run: auto, cpu, gpu or gpu:<number>.
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
    /// Prints one JSON object instead of a table.
    #[arg(long)]
    json: bool,
    /// Writes a page with overlays, curves and tables.
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    /// Writes the contact sheet as an image.
    #[arg(long, value_name = "FILE.png")]
    sheet: Option<PathBuf>,
}

/// What is measured, and what a report says about it.
struct Opened {
    model: Box<dyn ModelUnderTest>,
    preprocess: Preprocess,
    facts: Vec<(String, String)>,
    curves: Option<String>,
    /// The seed that validation images were pasted with in training.
    seed: u64,
    /// The temperature of a model file; a run has none yet.
    temperature: Option<f64>,
    /// Where the run found its data.
    data: Option<PathBuf>,
}

pub(super) fn run(args: &EvalArgs) -> anyhow::Result<()> {
    let mut opened = open(args)?;
    let seed = args.seed.unwrap_or(opened.seed);
    let store = read_split(args, &opened)?;
    let scenes = match &args.scenes {
        Some(folder) => Some(read_scenes(folder, args, &store)?),
        None => None,
    };
    let images = EvaluationImages::new(&store, scenes.as_ref(), args.paste, seed);
    let options = EvaluationOptions { seed, logits: true, ..EvaluationOptions::default() };
    let terminal = std::io::stderr().is_terminal();
    let mut progress = |done: usize, all: usize| {
        if terminal {
            eprint!("\r{done}/{all} images{}", if done == all { "\n" } else { "" });
        }
    };
    let (mut evaluation, samples) = evaluate_stream(opened.model.as_mut(), images, &options, &mut progress)?;
    store.take_faults().iter().for_each(|fault| eprintln!("warning: left out: {fault}"));
    evaluation.split = args.split.clone();
    let subject = Subject {
        model: opened.model.as_mut(),
        preprocess: &opened.preprocess,
        temperature: opened.temperature,
        data: opened.data.iter().chain([&args.data]).collect(),
        is_validation: args.split == "val" && scenes.is_none(),
    };
    evaluation.calibration = Some(calibration(subject, &evaluation)?);
    let sheet = png_bytes(&evaluation_sheet(&evaluation, &samples, SHEET_COLUMNS, SHEET_CELL))?;
    if let Some(path) = &args.sheet {
        write(path, &sheet)?;
    }
    if let Some(path) = &args.report {
        let title = format!("{} on {} ({})", args.model.display(), args.data.display(), args.split);
        opened.facts.push((
            "pasted on scenes".into(),
            scenes.map_or("no".into(), |_| format!("{:.0} %", 100.0 * store.pasted_share(args.paste))),
        ));
        let page = evaluation_html(&evaluation, &title, &opened.facts, &sheet, opened.curves.as_deref());
        write(path, page.as_bytes())?;
    }
    print(&evaluation, args.json)
}

fn read_split(args: &EvalArgs, opened: &Opened) -> anyhow::Result<SampleStore> {
    let set = images::scan(&args.data)?;
    let items = set.split_for(&args.split, opened.model.classes())?;
    let store = images::open(&set, items, &opened.preprocess)?;
    store.mask_notices(opened.model.classes()).iter().for_each(|notice| eprintln!("warning: {notice}"));
    Ok(store)
}

/// Scenes to paste on, and a warning if not every image can be.
fn read_scenes(folder: &Path, args: &EvalArgs, store: &SampleStore) -> anyhow::Result<Scenes> {
    let scenes = images::scenes(folder, store.preprocess())?;
    store.require_pastable(&args.data)?;
    if let Some(notice) = store.paste_notice(args.paste) {
        eprintln!("warning: {notice}");
    }
    Ok(scenes)
}

fn print(evaluation: &Evaluation, json: bool) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::to_string(evaluation)?)?;
    } else {
        write!(out, "{}", evaluation.table())?;
    }
    Ok(())
}

fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    write_atomically(path, bytes).with_context(|| path.display().to_string())?;
    eprintln!("wrote {}", path.display());
    Ok(())
}

fn open(args: &EvalArgs) -> anyhow::Result<Opened> {
    let fact = |name: &str, value: String| (name.to_owned(), value);
    if is_run(&args.model) || args.model.is_dir() {
        let (device, device_name) = open_device(args.device)?;
        let run = TrainedRun::read(&args.model, &args.checkpoint, &device)?;
        let facts = vec![
            fact("run", args.model.display().to_string()),
            fact("checkpoint", format!("{} (epoch {})", args.checkpoint, run.position.epoch)),
            fact(
                "networks",
                format!(
                    "{} pair, width {}, {} px",
                    run.config.preset.name(),
                    run.config.effective_width(),
                    run.config.size
                ),
            ),
            fact("objective", objective(&run.config)),
            fact("device", device_name),
        ];
        return Ok(Opened {
            preprocess: run.info.preprocess.clone(),
            curves: curves(&args.model, &run.config),
            seed: run.data_seed(),
            temperature: None,
            data: run.info.sources.data.clone(),
            facts,
            model: Box::new(BurnModel::from(run)),
        });
    }
    let model = ModelFile::read(&args.model)?;
    let manifest = model.manifest();
    let facts = vec![
        fact("file", args.model.display().to_string()),
        fact("SHA-256", model.sha256().to_owned()),
        fact("precision", manifest.precision.to_string()),
        fact(
            "networks",
            format!(
                "{} pair, {} x {} px",
                manifest.preset, manifest.preprocess.width, manifest.preprocess.height
            ),
        ),
        fact("engine", comet_engine::run::ENGINE.to_owned()),
    ];
    Ok(Opened {
        preprocess: manifest.preprocess.clone(),
        curves: None,
        seed: manifest.training.seed,
        temperature: Some(manifest.temperature),
        data: None,
        facts,
        model: Box::new(EngineModel::new(&model)?),
    })
}

fn objective(config: &TrainConfig) -> String {
    let objective = &config.objective;
    format!(
        "completeness {}, a = {}, b = {}, t = {}, gap = {}",
        objective.completeness, objective.alpha, objective.beta, objective.target_area, objective.gap
    )
}

fn curves(run: &Path, config: &TrainConfig) -> Option<String> {
    let text = std::fs::read_to_string(run.join("metrics.jsonl")).ok()?;
    let (records, _) = read_records(&text);
    Some(curves_svg(&training_panels(&records, Some(100.0 * config.objective.target_area))))
}
