//! `verify`: are the predictions still those of the float model?

use std::path::Path;

use anyhow::Context;
use serde::Serialize;

use comet_engine::explain::{ReferenceSet, compare, compare_sessions};
use comet_engine::image::read_rgb;
use comet_engine::model::{Fidelity, GateLimits, ModelError, ModelErrorKind, ModelFile, Precision};
use comet_engine::run::Session;

use super::args::VerifyArgs;
use super::exit::Exit;
use super::print::{print_json, print_text, say};
use super::{environment, model};
use crate::source::images_in;

/// The result as JSON.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    fidelity: &'a Fidelity,
    pass: bool,
    misses: &'a [String],
    limits: &'a GateLimits,
}

pub(super) fn verify(args: &VerifyArgs) -> anyhow::Result<Exit> {
    let engine = environment::engine(args.threads.count())?;
    let model = model::load(&args.model)?;
    let mut session = Session::with_options(&model, engine)?;
    let fidelity = match (&args.calib, &args.reference, &args.images) {
        (Some(calib), ..) => against_stored(&model, &mut session, calib)?,
        (None, Some(reference), Some(images)) => {
            let reference = model::read(Some(reference.as_path()), args.model.skip_hash)?;
            check_pair(&reference, &model)?;
            let mut float = Session::with_options(&reference, engine)?;
            let images = labelled(images, &model.manifest().classes)?;
            compare_sessions(&mut float, &mut session, images)?
        }
        // The argument parser asks for one of the two.
        _ => anyhow::bail!("there is nothing to compare with"),
    };
    let limits = args.limits.over(model.manifest().limits.unwrap_or_default());
    let misses = limits.misses(&fidelity);
    let pass = misses.is_empty();
    if args.json {
        let (fidelity, misses, limits) = (&fidelity, misses.as_slice(), &limits);
        print_json(&Report { fidelity, pass, misses, limits })?;
    } else {
        print_text(table(&fidelity, pass))?;
    }
    for miss in &misses {
        say(format_args!("missed: {miss}"));
    }
    Ok(if pass { Exit::Ok } else { Exit::Failed })
}

fn against_stored(model: &ModelFile, session: &mut Session, folder: &Path) -> anyhow::Result<Fidelity> {
    let set = ReferenceSet::read(folder)?;
    set.check_model(model).context("these are not the float predictions of this model")?;
    Ok(compare(session, &set)?)
}

/// Refuses to compare models of different tasks, or an int8 file with a float file that is not its parent.
fn check_pair(reference: &ModelFile, model: &ModelFile) -> Result<(), ModelError> {
    let (float, own) = (reference.manifest(), model.manifest());
    let fail = |field, fault: String| {
        let kind = ModelErrorKind::Field { field, fault };
        Err(ModelError { name: reference.name().to_owned(), kind })
    };
    if float.precision != Precision::Float32 {
        return fail("precision", format!("a reference is float32, this is {}", float.precision));
    }
    if float.classes != own.classes {
        return fail("classes", "the models have different classes, or another order".into());
    }
    let size = |model: &ModelFile| {
        let preprocess = &model.manifest().preprocess;
        (preprocess.width, preprocess.height)
    };
    if size(reference) != size(model) {
        return fail("preprocess", format!("{:?} and {:?} pixels", size(reference), size(model)));
    }
    match &own.float_sha256 {
        Some(parent) if !parent.eq_ignore_ascii_case(reference.sha256()) => {
            let found = reference.sha256();
            fail("float_sha256", format!("the model was quantized from {parent}, this is {found}"))
        }
        _ => Ok(()),
    }
}

/// The images below a folder, read one at a time, with the class of the folder that each is in.
fn labelled<'a>(
    folder: &Path,
    classes: &'a [String],
) -> anyhow::Result<impl Iterator<Item = (image::RgbImage, Option<usize>)> + use<'a>> {
    let found = images_in(folder)?;
    for error in &found.unreadable {
        say(format_args!("skipped {error}"));
    }
    Ok(found.images.into_iter().filter_map(move |path| {
        let class = path.parent().and_then(Path::file_name).and_then(|name| name.to_str());
        let truth = classes.iter().position(|known| Some(known.as_str()) == class);
        match read_rgb(&path) {
            Ok(image) => Some((image, truth)),
            Err(error) => {
                say(format_args!("skipped {error}"));
                None
            }
        }
    }))
}

fn table(fidelity: &Fidelity, pass: bool) -> String {
    let drop = match fidelity.accuracy_drop {
        Some(drop) => format!("{drop:+.2} points"),
        None => "not known (no labels)".into(),
    };
    format!(
        "images            n = {}\n\
         map MAE           {:.4}\n\
         map IoU           {:.4} (5th percentile {:.4})\n\
         map Pearson r     {:.4}\n\
         label agreement   {:.1} %\n\
         accuracy drop     {drop}\n\
         {}",
        fidelity.n,
        fidelity.mask_mae,
        fidelity.mask_iou_mean,
        fidelity.mask_iou_p5,
        fidelity.mask_pearson,
        fidelity.agreement,
        if pass { "pass" } else { "fail" },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_has_its_keys_in_order() {
        let fidelity = Fidelity {
            n: 3,
            mask_mae: 0.01,
            mask_iou_mean: 0.95,
            mask_iou_p5: 0.9,
            mask_pearson: 0.99,
            agreement: 100.0,
            accuracy_drop: None,
        };
        let limits = GateLimits::default();
        let report = Report { fidelity: &fidelity, pass: true, misses: &[], limits: &limits };
        let json = serde_json::to_string(&report).unwrap();
        let keys = [
            "n",
            "mask_mae",
            "mask_iou_mean",
            "mask_iou_p5",
            "mask_pearson",
            "agreement",
            "accuracy_drop",
            "pass",
            "misses",
            "limits",
        ];
        let places: Vec<_> = keys.iter().map(|key| json.find(&format!("\"{key}\":")).unwrap()).collect();
        assert!(places.is_sorted(), "{json}");
        assert!(table(&fidelity, false).ends_with("fail"));
    }
}
