//! In which order an epoch shows the images, and which of them stand for all.

use rand::RngExt;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use super::generator::generator;
use super::item::Item;

/// How images are drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sampling {
    /// Each image once an epoch.
    Shuffle,
    /// As many images of each class: those of rare classes are shown more often.
    #[default]
    Balanced,
}

/// The order of one epoch: as many indices as there are items, the same for the same seed and epoch.
pub fn epoch_order(items: &[Item], sampling: Sampling, seed: u64, epoch: usize) -> Vec<usize> {
    let mut rng = generator(seed, "order", epoch, 0);
    let mut order: Vec<usize> = (0..items.len()).collect();
    if sampling == Sampling::Balanced {
        order = balanced(items, &mut rng);
    }
    order.shuffle(&mut rng);
    order
}

/// Goes round the classes; within a class every image comes once before one comes twice.
fn balanced(items: &[Item], rng: &mut impl rand::Rng) -> Vec<usize> {
    let classes = items.iter().map(|item| item.class + 1).max().unwrap_or(0);
    let mut members: Vec<Vec<usize>> = vec![Vec::new(); classes];
    for (index, item) in items.iter().enumerate() {
        if let Some(class) = members.get_mut(item.class) {
            class.push(index);
        }
    }
    members.retain(|class| !class.is_empty());
    for class in &mut members {
        class.shuffle(rng);
    }
    // The round starts at a random class so that a remainder favours no class over the epochs.
    let start = if members.is_empty() { 0 } else { rng.random_range(0..members.len()) };
    let rounds = (0..items.len()).filter_map(|draw| {
        let class = members.get((start + draw) % members.len().max(1))?;
        class.get(draw / members.len().max(1) % class.len()).copied()
    });
    rounds.collect()
}

/// `count` of the items at equal distances over the whole list, or all if there are fewer: what is measured on
/// them sees every class that is not very rare, as lists are sorted by class.
pub fn strided(items: &[Item], count: usize) -> impl Iterator<Item = &Item> {
    places(items.len(), count).filter_map(|place| items.get(place))
}

/// `count` indices at equal distances in `0..len`, rising; all if there are fewer.
pub(super) fn places(len: usize, count: usize) -> impl Iterator<Item = usize> {
    let count = count.min(len);
    (0..count).map(move |place| (place as u128 * len as u128 / count as u128) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(counts: &[usize]) -> Vec<Item> {
        let classes = counts.iter().enumerate();
        let item = |class| Item { path: "x".into(), mask: None, class };
        classes.flat_map(|(class, &count)| std::iter::repeat_n(item(class), count)).collect()
    }

    #[test]
    fn a_shuffled_epoch_shows_each_image_once() {
        let mut order = epoch_order(&items(&[5, 9]), Sampling::Shuffle, 1, 2);
        assert_eq!(order, epoch_order(&items(&[5, 9]), Sampling::Shuffle, 1, 2));
        order.sort_unstable();
        assert_eq!(order, (0..14).collect::<Vec<_>>());
    }

    #[test]
    fn a_balanced_epoch_shows_each_class_equally_often() {
        let items = items(&[3, 27]);
        let order = epoch_order(&items, Sampling::Balanced, 1, 0);
        let rare: Vec<usize> = order.iter().copied().filter(|&i| items[i].class == 0).collect();
        assert_eq!((order.len(), rare.len()), (30, 15));
        for index in 0..3 {
            assert_eq!(rare.iter().filter(|&&i| i == index).count(), 5);
        }
    }

    #[test]
    fn a_class_with_one_image_among_thousands_is_shown_as_often_as_the_others() {
        let items = items(&[1, 2_000, 999]);
        let order = epoch_order(&items, Sampling::Balanced, 1, 0);
        let shown = |class: usize| order.iter().filter(|&&index| items[index].class == class).count();
        assert_eq!((0..3).map(shown).collect::<Vec<_>>(), [1_000; 3]);
        // Another epoch shows other images of the class that has too many.
        let of_many = |epoch| -> std::collections::BTreeSet<usize> {
            let order = epoch_order(&items, Sampling::Balanced, 1, epoch);
            order.into_iter().filter(|&index| items[index].class == 1).collect()
        };
        assert_eq!(of_many(0).len(), 1_000, "none of them twice");
        assert_ne!(of_many(0), of_many(1));
        assert_eq!(Sampling::default(), Sampling::Balanced);
    }

    #[test]
    fn ten_thousand_classes_of_one_image_are_all_shown() {
        let mut order = epoch_order(&items(&vec![1; 10_000]), Sampling::Balanced, 1, 0);
        order.sort_unstable();
        assert_eq!(order, (0..10_000).collect::<Vec<_>>());
    }

    #[test]
    fn strided_items_come_from_all_classes() {
        let items = items(&[40, 10, 30, 20]);
        let chosen: Vec<usize> = strided(&items, 10).map(|item| item.class).collect();
        assert_eq!(chosen, [0, 0, 0, 0, 1, 2, 2, 2, 3, 3]);
        assert_eq!(strided(&items, 500).count(), 100);
        assert_eq!(strided(&items, 7).count(), 7);
        assert_eq!((strided(&items, 0).count(), strided(&[], 5).count()), (0, 0));
    }
}
