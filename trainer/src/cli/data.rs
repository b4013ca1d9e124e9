//! `trainer data`

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::exit::Usage;
use crate::data::nothing::{NothingSet, write_nothing};
use crate::data::plants::{PlantSet, Variant, write_set};
use crate::data::report;

/// Data sets.
#[derive(Args)]
pub(super) struct DataArgs {
    #[command(subcommand)]
    command: DataCommand,
}

#[derive(Subcommand)]
enum DataCommand {
    /// Checks a data set: what is left out, damaged files, masks, duplicates, imbalance, sizes, mean and deviation.
    Report {
        /// The data set.
        dir: PathBuf,
        /// Prints one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Draws plants whose class is the colour of one part, with exact masks (after an8Flower).
    Plants(PlantArgs),
    /// Makes images for a class "nothing", so that a model has a word for frames without a thing: half of them parts of
    /// your frames, the others drawn (boards, walls, wood, cloth, tiles, stripes, blurred colours, lights, darkness).
    Nothing(NothingArgs),
}

#[derive(Args)]
struct PlantArgs {
    /// Folder to write.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Images.
    #[arg(long)]
    count: usize,
    /// Side in pixels.
    #[arg(long, default_value_t = 64)]
    size: u32,
    /// double: colour on flower or stem, 12 classes; single: on the flower, 6 classes.
    #[arg(long, default_value = "double")]
    variant: Variant,
    /// Split to write; without it, a sixth of the images become `val` and the others `train`.
    #[arg(long)]
    split: Option<String>,
    /// Seed. Another seed gives other plants.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

#[derive(Args)]
struct NothingArgs {
    /// Data set to write into: OUT/images/{train,val}/nothing/*.jpg, 224 x 168 pixels.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Images, over both splits.
    #[arg(long)]
    count: usize,
    /// Of these, images of the split `val` [default: a sixth].
    #[arg(long, value_name = "N")]
    val: Option<usize>,
    /// Photographs or video frames without a thing of any class; may be given several times. A data set keeps its splits;
    /// of any other folder the last sixth by path is used for `val` only. Without it everything is drawn.
    #[arg(long, value_name = "DIR")]
    frames: Vec<PathBuf>,
    /// Seed. Another seed gives other images.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

pub(super) fn run(args: &DataArgs) -> anyhow::Result<()> {
    match &args.command {
        DataCommand::Report { dir, json } => {
            let report = report(dir)?;
            let mut out = std::io::stdout().lock();
            if *json {
                writeln!(out, "{}", serde_json::to_string(&report)?)?;
            } else {
                write!(out, "{report}")?;
            }
            Ok(())
        }
        DataCommand::Plants(args) => plants(args),
        DataCommand::Nothing(args) => nothing(args),
    }
}

fn plants(args: &PlantArgs) -> anyhow::Result<()> {
    let splits = match &args.split {
        Some(split) => vec![(split.clone(), args.count, args.seed)],
        None => {
            let val = args.count / 6;
            // Validation has a seed of its own, far from those that people choose.
            vec![
                ("train".to_owned(), args.count - val, args.seed),
                ("val".to_owned(), val, args.seed ^ (1 << 40)),
            ]
        }
    };
    for (split, count, seed) in splits {
        let set = PlantSet { variant: args.variant, count, size: args.size, seed, split };
        write_set(&args.out, &set, &mut |_| {})?;
        eprintln!("{}: {count} images in split '{}'", args.out.display(), set.split);
    }
    Ok(())
}

fn nothing(args: &NothingArgs) -> anyhow::Result<()> {
    let val = args.val.unwrap_or(args.count / 6);
    let Some(train) = args.count.checked_sub(val) else {
        let count = args.count;
        return Err(Usage(format!(
            "--val {val} is more than --count {count}: these are the images of both splits together"
        ))
        .into());
    };
    let set = NothingSet { train, val, seed: args.seed, frames: args.frames.clone() };
    write_nothing(&args.out, &set, &mut |fault| eprintln!("left out: {fault}"))?;
    eprintln!("{}: {train} images in split 'train', {val} in split 'val'", args.out.display());
    Ok(())
}
