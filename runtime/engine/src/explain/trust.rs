//! Whether an explanation holds: flags of a frame, results of the sampled checks, and their limits.

use std::fmt;

use serde::Serialize;

use super::MaskStatistics;

/// Something that a user of a prediction should know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Flag {
    /// The attribution map or the logits are not finite, or are out of range. Such a prediction has no class.
    InvalidExplanation,
    /// The predictor was shown almost nothing.
    EmptyMap,
    /// The predictor was shown almost everything: the map explains nothing.
    FullMap,
    /// The whole image gives another class, or a far higher probability than what the predictor saw.
    Insufficient,
    /// The class is recognised in what the map leaves out.
    Incomplete,
    /// The map moves when the image is shifted by two pixels.
    Unstable,
    /// The map is far from the float reference's.
    Drift,
    /// The predictor names another class when the map is cut at 0.5, where overlays draw its contour.
    ClassChangesAtContour,
    /// The class was withheld: its probability is below the limit that the user set.
    Abstained,
}

impl fmt::Display for Flag {
    /// As in JSON.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InvalidExplanation => "invalid_explanation",
            Self::EmptyMap => "empty_map",
            Self::FullMap => "full_map",
            Self::Insufficient => "insufficient",
            Self::Incomplete => "incomplete",
            Self::Unstable => "unstable",
            Self::Drift => "drift",
            Self::ClassChangesAtContour => "class_changes_at_contour",
            Self::Abstained => "abstained",
        })
    }
}

/// Limits of the flags.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrustLimits {
    /// Below this mean of the map it counts as empty.
    pub min_shown: f32,
    /// Above this mean of the map it counts as full.
    pub max_shown: f32,
    /// How much more probable the class may be on the whole image than on what the predictor saw.
    pub max_sufficiency_drop: f32,
    /// From this probability on the class counts as recognised in what was left out.
    pub max_left_out: f32,
    /// Smallest IoU of the maps of an image and of the same image shifted.
    pub min_stability: f64,
    /// Smallest IoU with the float reference's map.
    pub min_drift_iou: f64,
    /// Share of the last checks that must hold; below it there is an alarm.
    pub min_share: f64,
}

impl Default for TrustLimits {
    fn default() -> Self {
        Self {
            min_shown: 0.005,
            max_shown: 0.95,
            max_sufficiency_drop: 0.3,
            max_left_out: 0.5,
            min_stability: 0.5,
            min_drift_iou: 0.8,
            min_share: 0.8,
        }
    }
}

impl TrustLimits {
    /// The flag of a map that explains nothing.
    pub fn map_flag(&self, mask: &MaskStatistics) -> Option<Flag> {
        if mask.mean < self.min_shown {
            Some(Flag::EmptyMap)
        } else if mask.mean > self.max_shown {
            Some(Flag::FullMap)
        } else {
            None
        }
    }
}

/// Who judged images that are not masked as in training: the detector, if the model file has one, else the predictor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Judge {
    /// COMET's frozen detector, which was trained on whole images.
    Detector,
    /// The predictor, which was trained on masked images.
    Predictor,
}

/// Does the class hold on the masked image, compared with the whole image?
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Sufficiency {
    /// Who looked at the whole image.
    pub by: Judge,
    /// Probability of the predicted class on the whole image.
    pub whole_probability: f32,
    /// Whether the whole image has the same class.
    pub same_class: bool,
    /// Whether the check holds.
    pub holds: bool,
}

/// Is the class still seen in what the map left out?
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Completeness {
    /// Who looked at it.
    pub by: Judge,
    /// Probability of the predicted class there.
    pub left_out_probability: f32,
    /// Whether it is the likeliest class there.
    pub recognised: bool,
    /// Whether the check holds.
    pub holds: bool,
}

/// Does the map stay where it is when the image moves by two pixels?
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Stability {
    /// IoU of the map and of the shifted image's map, shifted back.
    pub iou: f64,
    /// Whether the check holds.
    pub holds: bool,
}

/// Is the class still predicted from what lies inside the contour alone?
///
/// An overlay's contour is drawn where the map is 0.5, but the predictor sees the soft map, which lets through some of
/// what is outside the contour. Here it sees the image times the map cut at 0.5: all of what is inside, and nothing
/// else.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Cut {
    /// Probability of the predicted class there.
    pub probability: f32,
    /// Whether it is still the likeliest class.
    pub same_class: bool,
}

/// How far is the deployed model from its float reference?
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Drift {
    /// Mean absolute difference of the maps.
    pub mae: f64,
    /// Their IoU at 0.5.
    pub iou: f64,
    /// Their Pearson correlation.
    pub pearson: f64,
    /// Whether both give the same class.
    pub same_class: bool,
    /// Whether the check holds.
    pub holds: bool,
}

/// The checks of one frame.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Checks {
    /// The masked image compared with the whole image.
    pub sufficiency: Sufficiency,
    /// What was left out.
    pub completeness: Completeness,
    /// The image shifted by two pixels.
    pub stability: Stability,
    /// Against the float reference, if one was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drift: Option<Drift>,
    /// The map cut at 0.5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cut: Option<Cut>,
    /// What they cost, in milliseconds.
    pub ms: f64,
}

impl Checks {
    /// The flags of the checks that do not hold.
    pub fn flags(&self) -> impl Iterator<Item = Flag> {
        let drifted = self.drift.is_some_and(|drift| !drift.holds);
        let changes = self.cut.is_some_and(|cut| !cut.same_class);
        [
            (!self.sufficiency.holds).then_some(Flag::Insufficient),
            (!self.completeness.holds).then_some(Flag::Incomplete),
            (!self.stability.holds).then_some(Flag::Unstable),
            drifted.then_some(Flag::Drift),
            changes.then_some(Flag::ClassChangesAtContour),
        ]
        .into_iter()
        .flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_that_show_nothing_or_everything_are_flagged() {
        let limits = TrustLimits::default();
        let flag = |mean| limits.map_flag(&MaskStatistics { mean, area: 0.0, entropy: 0.0, border: 0.0 });
        assert_eq!([flag(0.001), flag(0.2), flag(0.99)], [Some(Flag::EmptyMap), None, Some(Flag::FullMap)]);
    }

    #[test]
    fn a_flag_is_written_as_in_json() {
        let flags = [
            Flag::InvalidExplanation,
            Flag::EmptyMap,
            Flag::FullMap,
            Flag::Insufficient,
            Flag::Incomplete,
            Flag::Unstable,
            Flag::Drift,
            Flag::ClassChangesAtContour,
            Flag::Abstained,
        ];
        for flag in flags {
            assert_eq!(serde_json::to_value(flag).unwrap(), flag.to_string());
        }
    }

    #[test]
    fn a_class_that_changes_at_the_contour_is_flagged_and_no_cut_is_no_flag() {
        let by = Judge::Predictor;
        let checks = |cut| Checks {
            sufficiency: Sufficiency { by, whole_probability: 0.9, same_class: true, holds: true },
            completeness: Completeness { by, left_out_probability: 0.1, recognised: false, holds: true },
            stability: Stability { iou: 0.9, holds: true },
            drift: None,
            cut,
            ms: 1.0,
        };
        let flags = |cut| checks(cut).flags().collect::<Vec<_>>();
        let changed = Some(Cut { probability: 0.2, same_class: false });
        assert_eq!(flags(changed), [Flag::ClassChangesAtContour]);
        assert!(flags(Some(Cut { probability: 0.2, same_class: true })).is_empty() && flags(None).is_empty());
        assert!(serde_json::to_value(checks(None)).unwrap().get("cut").is_none());
        let json = serde_json::to_value(checks(changed)).unwrap();
        assert_eq!(json["cut"]["same_class"], false);
    }
}
