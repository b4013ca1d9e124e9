//! The images that an export needs: to measure ranges on, for the gate, and for the manifest's metrics.

use anyhow::ensure;

use super::args::ExportArgs;
use crate::cli::exit::Usage;
use crate::cli::images::{open, scan, scenes};
use crate::data::{Item, Sample, evaluation_set, strided};
use crate::train::TrainedRun;

/// The images that an export needs.
pub(super) struct ExportImages {
    /// Training images as they are shown in training: to measure ranges on.
    pub(super) calibration: Vec<Sample>,
    /// Validation images as they are: for the manifest's metrics and the reference set.
    pub(super) plain: Vec<Sample>,
    /// Validation images pasted as in training; `None` if none are pasted.
    pasted: Option<Vec<Sample>>,
}

impl ExportImages {
    /// Reads them from where the run found them, or from where the arguments say.
    pub(super) fn read(args: &ExportArgs, run: &TrainedRun) -> anyhow::Result<Self> {
        let data = args.data.clone().or(run.info.sources.data.clone());
        let data =
            data.ok_or_else(|| Usage("the run does not say where its data are: give --data DIR".into()))?;
        let (preprocess, classes) = (&run.info.preprocess, &run.info.classes);
        let (paste, seed) = (run.info.data.paste, run.data_seed());
        let scenes = match args.scenes.clone().or(run.info.sources.scenes.clone()) {
            Some(folder) if paste > 0.0 => Some(scenes(&folder, preprocess)?),
            _ => None,
        };
        let set = scan(&data)?;
        // A float file needs no ranges.
        let count = if args.quantize { args.calibration.calib_images } else { 0 };
        let calibration = match &args.calibration.calib {
            Some(folder) => {
                let set = scan(folder)?;
                let split = set.splits().next().unwrap_or("train").to_owned();
                let store = open(&set, some(&set.split_for(&split, classes)?, count), preprocess)?;
                evaluation_set(&store, None, 0.0, seed)
            }
            None => {
                let store = open(&set, some(&set.split_for("train", classes)?, count), preprocess)?;
                evaluation_set(&store, scenes.as_ref(), paste, seed)
            }
        };
        let val = open(&set, set.split_for("val", classes)?, preprocess)?;
        ensure!(!val.is_empty(), "{}: there is no validation image", data.display());
        let plain = evaluation_set(&val, None, 0.0, seed);
        let pasted = scenes.map(|scenes| evaluation_set(&val, Some(&scenes), paste, seed));
        val.take_faults().iter().for_each(|fault| eprintln!("warning: left out: {fault}"));
        Ok(Self { calibration, plain, pasted })
    }

    /// Validation images as they are shown in training: for the gate.
    pub(super) fn held_out(&self) -> &[Sample] {
        self.pasted.as_deref().unwrap_or(&self.plain)
    }
}

/// `count` of the items, evenly over all classes; the others are never read.
fn some(items: &[Item], count: usize) -> Vec<Item> {
    strided(items, count).cloned().collect()
}

/// `count` of the samples, evenly over all of them, so that every class is there.
pub(super) fn spread(samples: &[Sample], count: usize) -> Vec<Sample> {
    let all = samples.len().max(1);
    let count = count.min(all);
    let is_chosen = |index: usize| index * count / all != (index + 1) * count / all;
    let samples = samples.iter().enumerate();
    samples.filter(|(index, _)| is_chosen(*index)).map(|(_, sample)| sample.clone()).collect()
}
