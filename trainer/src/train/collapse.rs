//! Signs that a run has gone wrong, and what to try then.

use std::path::Path;

use super::checkpoint::Best;

/// Below this mean area the map shows nothing, above its complement everything.
const COLLAPSED: f64 = 0.005;
/// A detector that is not this much better than guessing cannot recognise what was left out.
const GUIDANCE: f64 = 1.5;

/// A warning if the mean area of the maps says that they have collapsed.
pub(super) fn map_warning(area: f64) -> Option<String> {
    if area < COLLAPSED {
        return Some(format!(
            "the map has collapsed to nothing (mean area {:.2} %). Lower objective.beta or raise objective.target-area",
            100.0 * area
        ));
    }
    if area > 1.0 - COLLAPSED {
        return Some(format!(
            "the map shows everything (mean area {:.1} %). Raise objective.beta or lower objective.target-area",
            100.0 * area
        ));
    }
    None
}

/// A warning if the detector (accuracy in percent, on validation) is too weak to punish anything.
pub(super) fn detector_warning(accuracy: f64, classes: usize) -> Option<String> {
    let guessing = 100.0 / classes.max(1) as f64;
    (accuracy < GUIDANCE * guessing).then(|| {
        format!(
            "the detector is right in {accuracy:.1} % of the validation images, guessing gives {guessing:.1} %: it is too weak to guide the selector. Raise detector-epochs, add images, or start it from weights (--init-predictor)"
        )
    })
}

/// What to try after training has diverged: a command that continues from the best epoch, if there is one.
/// `is_saved` says whether there is an earlier checkpoint.
pub(super) fn divergence_advice(
    best: Option<Best>,
    seed: u64,
    data: &Path,
    out: &Path,
    is_saved: bool,
) -> String {
    let kept = if is_saved { "Nothing was overwritten: last.ckpt holds the state before. " } else { "" };
    match best {
        Some(best) => format!(
            "{kept}Go back to epoch {} with another seed: trainer train --data {} --out {} --resume best --seed {}. Or start a new run with a lower --lr or with clip-norm",
            best.epoch,
            data.display(),
            out.display(),
            seed.wrapping_add(1) & i64::MAX as u64
        ),
        None => format!(
            "{kept}Start a new run with a lower --lr, with clip-norm, or with smaller weights of the objective (--alpha, --beta)"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_extreme_maps_are_reported() {
        assert!(map_warning(0.2).is_none());
        assert!(map_warning(0.001).is_some_and(|text| text.contains("nothing")));
        assert!(map_warning(0.999).is_some_and(|text| text.contains("everything")));
    }

    #[test]
    fn a_detector_near_chance_is_reported() {
        assert!(detector_warning(12.0, 10).is_some());
        assert!(detector_warning(60.0, 10).is_none());
    }

    #[test]
    fn the_advice_after_divergence_is_a_command_that_exists() {
        let (data, out) = (Path::new("photos"), Path::new("runs/photos"));
        let text =
            divergence_advice(Some(Best { epoch: 7, accuracy: 80.0, complete: true }), 4, data, out, true);
        let command = "trainer train --data photos --out runs/photos --resume best --seed 5";
        assert!(text.contains(command) && text.contains("epoch 7") && text.contains("last.ckpt"), "{text}");
        let text = divergence_advice(None, 4, data, out, false);
        assert!(!text.contains("--resume") && !text.contains("last.ckpt"), "nothing was written yet: {text}");
    }
}
