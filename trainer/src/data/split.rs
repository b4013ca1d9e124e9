//! Which images of a plain folder are held out for validation.

use sha2::{Digest, Sha256};

/// One image in this many is held out.
const ONE_IN: u64 = 5;

/// For each name, whether its image is held out: about a fifth, chosen by a hash of the name.
///
/// An image stays on its side whatever the seed of a run is and whatever images come or go, so that no model is
/// ever measured on images that another run of the same folder was trained on. Only in a class so small that
/// one side would be empty does an image change sides: each side gets one as soon as there are two.
pub(super) fn held_out(names: &[String]) -> Vec<bool> {
    let places: Vec<u64> = names.iter().map(|name| place(name)).collect();
    let mut held: Vec<bool> = places.iter().map(|&place| place < u64::MAX / ONE_IN).collect();
    if names.len() < 2 {
        return held;
    }
    let sorted = || places.iter().copied().enumerate().map(|(index, place)| (place, index));
    let change = if !held.contains(&true) {
        sorted().min()
    } else if !held.contains(&false) {
        sorted().max()
    } else {
        None
    };
    if let Some(held) = change.and_then(|(_, index)| held.get_mut(index)) {
        *held = !*held;
    }
    held
}

/// A name's place among all possible ones, evenly spread.
fn place(name: &str) -> u64 {
    let digest = Sha256::digest(name.as_bytes());
    digest.iter().take(8).fold(0, |place, &byte| place << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(range: std::ops::Range<usize>) -> Vec<String> {
        range.map(|index| format!("cat/{index}.jpg")).collect()
    }

    #[test]
    fn about_a_fifth_is_held_out() {
        let held = held_out(&names(0..1000)).into_iter().filter(|&held| held).count();
        assert!((160..=240).contains(&held), "{held}");
    }

    #[test]
    fn an_added_image_moves_no_other() {
        let (before, after) = (held_out(&names(0..50)), held_out(&names(0..51)));
        assert_eq!(before, after[..50]);
    }

    #[test]
    fn two_images_are_enough_for_both_sides() {
        for start in 0..50 {
            let held = held_out(&names(start..start + 2));
            assert_ne!(held[0], held[1], "{start}");
        }
        assert_eq!(held_out(&names(0..1)).len(), 1);
    }

    #[test]
    fn the_split_is_the_same_on_every_machine() {
        let held: Vec<usize> = held_out(&names(0..20))
            .into_iter()
            .enumerate()
            .filter_map(|(index, held)| held.then_some(index))
            .collect();
        assert_eq!(held, [3, 13]);
    }
}
