//! `trainer eval`

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use comet_edge::image::Preprocess;
use comet_edge::model::ModelFile;
use comet_edge::storage::write_atomically;

use crate::data::{DataSet, PictureStore, Scenes, evaluation_set};
use crate::metrics::{EngineSubject, Evaluation, EvaluationOptions, Subject, evaluate};
use crate::report::{
    curves_svg, evaluation_html, evaluation_sheet, png_bytes, read_records, training_panels,
};
use crate::train::{BurnSubject, DeviceChoice, TrainConfig, TrainedRun, is_run, open_device};

const SHEET_COLUMNS: usize = 4;
const SHEET_CELL: u32 = 96;

/// A run is measured with Burn, a model file with the engine of comet-edge; the measures are the same code.
#[derive(Args)]
pub(super) struct EvalArgs {
    /// A run's folder, or a model file (.onnx).
    subject: PathBuf,
    /// Data set.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Split.
    #[arg(long, default_value = "val")]
    split: String,
    /// Pastes pictures on these scenes first; needs masks.
    #[arg(long, value_name = "DIR")]
    scenes: Option<PathBuf>,
    /// Share of pictures that are pasted.
    #[arg(long, default_value_t = 1.0, requires = "scenes")]
    paste: f64,
    /// Seed of pasting, noise, and of the split of a plain folder.
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
    /// Writes the contact sheet as a picture.
    #[arg(long, value_name = "FILE.png")]
    sheet: Option<PathBuf>,
}

/// What is measured, and what a report says about it.
struct Opened {
    subject: Box<dyn Subject>,
    preprocess: Preprocess,
    facts: Vec<(String, String)>,
    curves: Option<String>,
    /// The seed that a run split its plain folder by.
    seed: u64,
}

pub(super) fn run(args: &EvalArgs) -> anyhow::Result<()> {
    let mut opened = open(args)?;
    let seed = args.seed.unwrap_or(opened.seed);
    let set = DataSet::scan(&args.data, seed)?;
    let items = set.split_for(&args.split, opened.subject.classes())?;
    let count = items.len();
    let (store, faults) = PictureStore::open(items, opened.preprocess.clone());
    faults.iter().for_each(|fault| eprintln!("warning: skipped: {fault}"));
    if let Some(fault) = faults.first().filter(|_| store.is_empty()) {
        return Err(crate::data::DataError::NothingReadable {
            path: args.data.clone(),
            count,
            fault: fault.clone(),
        }
        .into());
    }
    let size = (opened.preprocess.width, opened.preprocess.height);
    let scenes = match &args.scenes {
        Some(folder) => Some(Scenes::read(folder, size)?.0),
        None => None,
    };
    if scenes.is_some() && store.items().iter().all(|item| item.mask.is_none()) {
        return Err(crate::data::DataError::NoMasks(args.data.clone()).into());
    }
    let pictures = evaluation_set(&store, scenes.as_ref(), args.paste, seed);
    let options = EvaluationOptions { seed, ..EvaluationOptions::default() };
    let terminal = std::io::stderr().is_terminal();
    let mut progress = |done: usize, all: usize| {
        if terminal {
            eprint!("\r{done}/{all} pictures{}", if done == all { "\n" } else { "" });
        }
    };
    let mut evaluation =
        evaluate(opened.subject.as_mut(), &pictures, &opened.preprocess, &options, &mut progress)?;
    evaluation.split = args.split.clone();
    let sheet = png_bytes(&evaluation_sheet(&evaluation, &pictures, SHEET_COLUMNS, SHEET_CELL))?;
    if let Some(path) = &args.sheet {
        write(path, &sheet)?;
    }
    if let Some(path) = &args.report {
        let title = format!("{} on {} ({})", args.subject.display(), args.data.display(), args.split);
        opened.facts.push((
            "pasted on scenes".into(),
            scenes.map_or("no".into(), |_| format!("{:.0} %", 100.0 * args.paste)),
        ));
        let page = evaluation_html(&evaluation, &title, &opened.facts, &sheet, opened.curves.as_deref());
        write(path, page.as_bytes())?;
    }
    print(&evaluation, args.json)
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
    if is_run(&args.subject) || args.subject.is_dir() {
        let (device, device_name) = open_device(args.device)?;
        let run = TrainedRun::read(&args.subject, &args.checkpoint, &device)?;
        let facts = vec![
            fact("run", args.subject.display().to_string()),
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
            curves: curves(&args.subject, &run.config),
            seed: run.config.seed,
            facts,
            subject: Box::new(BurnSubject::from(run)),
        });
    }
    let model = ModelFile::read(&args.subject)?;
    let manifest = model.manifest();
    let facts = vec![
        fact("file", args.subject.display().to_string()),
        fact("SHA-256", model.sha256().to_owned()),
        fact("precision", manifest.precision.to_string()),
        fact(
            "networks",
            format!(
                "{} pair, {} x {} px",
                manifest.preset, manifest.preprocess.width, manifest.preprocess.height
            ),
        ),
        fact("engine", comet_edge::engine::ENGINE.to_owned()),
    ];
    Ok(Opened {
        preprocess: manifest.preprocess.clone(),
        curves: None,
        seed: manifest.training.seed,
        facts,
        subject: Box::new(EngineSubject::new(&model)?),
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
