//! Signs that a run is going nowhere.

/// Below this mean area the map shows nothing, above its complement everything.
const COLLAPSED: f64 = 0.005;
/// A detector that is not this much better than guessing cannot tell what was left out.
const GUIDANCE: f64 = 1.5;

/// A warning if the mean area of the maps says that the selector has given up.
pub(super) fn map_warning(area: f64) -> Option<String> {
    if !area.is_finite() {
        return Some(format!(
            "the map's mean is {area}: training has diverged. Lower learning-rate, or resume from the best checkpoint with another seed"
        ));
    }
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
            "the detector is right in {accuracy:.1} % of the validation pictures, guessing gives {guessing:.1} %: it is too weak to guide the selector. Raise detector-epochs, add pictures, or start it from weights (--init-predictor)"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_extreme_maps_are_reported() {
        assert!(map_warning(0.2).is_none());
        assert!(map_warning(0.001).is_some_and(|text| text.contains("nothing")));
        assert!(map_warning(0.999).is_some_and(|text| text.contains("everything")));
        assert!(map_warning(f64::NAN).is_some_and(|text| text.contains("diverged")));
    }

    #[test]
    fn a_detector_near_chance_is_reported() {
        assert!(detector_warning(12.0, 10).is_some());
        assert!(detector_warning(60.0, 10).is_none());
    }
}
