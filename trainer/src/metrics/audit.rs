//! Does the map select? The predictor is given other versions of the masked image and must name the class again.
//!
//! The predictor sees `S(x) * x`. A soft map dims pixels and removes few of them, so that the class may still be read
//! where the map is low. These versions show how much of the accuracy depends on what the map selects.

use serde::{Deserialize, Serialize};

use super::masked::{masked, plane};
use super::tally::Ratio;
use crate::data::Batch;

/// From this value on, a pixel is inside of a map that is cut.
const INSIDE: f32 = 0.5;

/// What the predictor is given in place of `S(x) * x`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// The image where the map is at least 0.5, and the mean elsewhere.
    Cut,
    /// `(1 - S(x)) * x`.
    LeftOut,
    /// Every pixel times the mean of the image's map.
    UniformDimming,
}

impl Version {
    /// All versions, in the order in which they are shown.
    pub(super) const ALL: [Self; 3] = [Self::Cut, Self::LeftOut, Self::UniformDimming];

    /// The images of `batch`, normalised, in this version; `maps` is `[n, height, width]`.
    pub(super) fn of(self, batch: &Batch, maps: &[f32]) -> Batch {
        match self {
            Self::Cut => masked(batch, maps, |value| if value >= INSIDE { 1.0 } else { 0.0 }),
            Self::LeftOut => masked(batch, maps, |value| 1.0 - value),
            Self::UniformDimming => masked(batch, &means(maps, plane(batch)), |mean| mean),
        }
    }

    /// Whether the class was named, as it counts against the model if the logits are not finite (`None`).
    pub(super) fn is_right(self, predicted: Option<usize>, class: usize) -> bool {
        match self {
            Self::Cut => predicted == Some(class),
            // A map that selects has a low value here.
            Self::LeftOut | Self::UniformDimming => predicted.is_none_or(|predicted| predicted == class),
        }
    }
}

/// Maps in which every value is the mean of its own map.
fn means(maps: &[f32], plane: usize) -> Vec<f32> {
    let level = |map: &[f32]| {
        let sum: f64 = map.iter().copied().map(f64::from).sum();
        vec![(sum / map.len().max(1) as f64) as f32; map.len()]
    };
    maps.chunks(plane).flat_map(level).collect()
}

/// Accuracies of the predictor in percent, over the images with a valid map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Audit {
    /// Images with a valid map (a number, not a share).
    pub n: usize,
    /// With the map as the model uses it: the predictor sees `S(x) * x`.
    pub as_used: f64,
    /// With the map cut at 0.5.
    pub cut_at_half: f64,
    /// On what the map leaves out, `(1 - S(x)) * x`.
    pub left_out: f64,
    /// With every pixel times the mean of the image's map, which selects nothing.
    pub uniform_dimming: f64,
}

/// What is counted for an [`Audit`].
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AuditCounts {
    as_used: Ratio,
    versions: [Ratio; Version::ALL.len()],
}

impl AuditCounts {
    /// Counts an image as the model uses its map.
    pub(super) fn add_as_used(&mut self, right: bool) {
        self.as_used.add(right);
    }

    /// Counts an image in another version.
    pub(super) fn add(&mut self, version: Version, right: bool) {
        for (counted, ratio) in Version::ALL.into_iter().zip(&mut self.versions) {
            if counted == version {
                ratio.add(right);
            }
        }
    }

    /// The accuracies; `None` if no image was counted in all versions.
    pub(super) fn finish(self) -> Option<Audit> {
        let [cut, left_out, uniform_dimming] = self.versions.map(Ratio::percent);
        Some(Audit {
            n: self.as_used.n,
            as_used: self.as_used.percent()?,
            cut_at_half: cut?,
            left_out: left_out?,
            uniform_dimming: uniform_dimming?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two images of one row: what is given, and what each version shows of it.
    fn shown(version: Version) -> Vec<f32> {
        let batch = Batch { pixels: vec![4.0; 2 * 3 * 3], labels: vec![0, 1], size: (1, 3) };
        let maps = [0.5, 0.49, 1.0, 0.0, 0.0, 0.75];
        let given = version.of(&batch, &maps);
        assert_eq!(given.pixels[..3], given.pixels[3..6], "all channels alike");
        assert_eq!(given.pixels[9..12], given.pixels[15..], "all channels alike");
        [&given.pixels[..3], &given.pixels[9..12]].concat()
    }

    #[test]
    fn a_cut_shows_what_is_at_least_one_half_as_it_is_and_nothing_else() {
        assert_eq!(shown(Version::Cut), [4.0, 0.0, 4.0, 0.0, 0.0, 4.0]);
    }

    #[test]
    fn what_is_left_out_is_the_complement_of_the_map() {
        let expected = [2.0, 4.0 * (1.0 - 0.49), 0.0, 4.0, 4.0, 1.0];
        assert_eq!(shown(Version::LeftOut), expected);
    }

    #[test]
    fn uniform_dimming_is_by_the_mean_of_each_images_own_map() {
        let shown = shown(Version::UniformDimming);
        let expected = [4.0 * 1.99 / 3.0, 1.0];
        for (index, value) in shown.iter().enumerate() {
            assert!((value - expected[index / 3]).abs() < 1e-5, "{shown:?}");
        }
    }

    #[test]
    fn a_class_that_is_not_named_counts_against_the_model() {
        for (version, without) in
            [(Version::Cut, false), (Version::LeftOut, true), (Version::UniformDimming, true)]
        {
            assert!(version.is_right(Some(2), 2), "{version:?}");
            assert!(!version.is_right(Some(1), 2), "{version:?}");
            assert_eq!(version.is_right(None, 2), without, "{version:?}");
        }
    }

    #[test]
    fn every_version_has_its_own_count() {
        let mut counts = AuditCounts::default();
        let right = [(Version::Cut, 3), (Version::LeftOut, 1), (Version::UniformDimming, 2)];
        for image in 0..4 {
            counts.add_as_used(true);
            for (version, right) in right {
                counts.add(version, image < right);
            }
        }
        let expected =
            Audit { n: 4, as_used: 100.0, cut_at_half: 75.0, left_out: 25.0, uniform_dimming: 50.0 };
        assert_eq!(counts.finish(), Some(expected));
    }

    #[test]
    fn without_an_image_there_is_no_audit() {
        assert_eq!(AuditCounts::default().finish(), None);
        let mut counts = AuditCounts::default();
        counts.add_as_used(true);
        counts.add(Version::Cut, true);
        assert_eq!(counts.finish(), None, "two versions are missing");
    }
}
