//! Which parts and colours make up the classes.

use std::fmt;
use std::str::FromStr;

use super::palette::{TINTS, Tint};
use super::shape::Organ;

/// The name of a variant is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown plant variant {given:?}: write `single` (6 classes) or `double` (12 classes)")]
pub struct UnknownVariant {
    /// What was written instead.
    pub given: String,
}

/// Which parts of the plant may carry the colour of the class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// Always the flower: six classes.
    Single,
    /// The flower or the stem: twelve classes. The colour alone no longer decides.
    Double,
}

impl Variant {
    /// The names of the classes, sorted; the place in the list is the index of the class.
    #[must_use]
    pub fn classes(self) -> Vec<String> {
        self.targets().map(|(organ, tint)| format!("{}-{}", organ.name(), tint.name)).collect()
    }

    /// The part and the colour that make the class, or nothing where there is no such class.
    pub(super) fn target(self, class: usize) -> Option<(Organ, Tint)> {
        self.targets().nth(class)
    }

    /// All classes in the order of their names: parts first, colours within, both alphabetical.
    fn targets(self) -> impl Iterator<Item = (Organ, Tint)> {
        let organs: &'static [Organ] = match self {
            Self::Single => &[Organ::Flower],
            Self::Double => &[Organ::Flower, Organ::Stem],
        };
        organs.iter().flat_map(|&organ| TINTS.iter().map(move |&tint| (organ, tint)))
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Single => "single",
            Self::Double => "double",
        })
    }
}

impl FromStr for Variant {
    type Err = UnknownVariant;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "single" => Ok(Self::Single),
            "double" => Ok(Self::Double),
            other => Err(UnknownVariant { given: other.to_owned() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_have_six_and_twelve_sorted_classes() {
        for (variant, count) in [(Variant::Single, 6), (Variant::Double, 12)] {
            let classes = variant.classes();
            assert_eq!(classes.len(), count);
            assert!(classes.is_sorted());
            assert!(variant.target(count - 1).is_some());
            assert!(variant.target(count).is_none());
        }
        let double = Variant::Double.classes();
        assert!(double.iter().any(|name| name == "stem-pink"));
    }

    #[test]
    fn variants_read_back_from_their_names() -> Result<(), UnknownVariant> {
        for variant in [Variant::Single, Variant::Double] {
            assert_eq!(variant.to_string().parse::<Variant>()?, variant);
        }
        let refused = "triple".parse::<Variant>();
        assert_eq!(refused, Err(UnknownVariant { given: "triple".to_owned() }));
        Ok(())
    }
}
