//! Where tensors live: one block of memory, in which those share a place that are never needed at the same time.

use std::ops::Range;

/// A tensor's need for memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Need {
    pub(crate) length: usize,
    /// The steps from which to which it is needed, both included.
    pub(crate) from: usize,
    pub(crate) to: usize,
}

/// Tensors start at multiples of this: a cache line of bytes, and more than one of floats.
const ALIGNMENT: usize = 64;

/// A place for each tensor, and the length of the whole block. The largest are placed first, each as low as it fits.
pub(crate) fn plan(needs: &[Need]) -> (Vec<Range<usize>>, usize) {
    let mut order: Vec<usize> = (0..needs.len()).collect();
    order.sort_by_key(|index| std::cmp::Reverse(needs[*index].length));
    let mut places: Vec<Range<usize>> = vec![0..0; needs.len()];
    let mut placed: Vec<usize> = Vec::with_capacity(needs.len());
    for index in order {
        let need = needs[index];
        let mut others: Vec<&Range<usize>> = placed
            .iter()
            .filter(|other| needs[**other].from <= need.to && need.from <= needs[**other].to)
            .map(|other| &places[*other])
            .collect();
        others.sort_by_key(|place| place.start);
        let mut start = 0usize;
        for other in others {
            if start + need.length <= other.start {
                break;
            }
            start = start.max(other.end.next_multiple_of(ALIGNMENT));
        }
        places[index] = start..start + need.length;
        placed.push(index);
    }
    let length = places.iter().map(|place| place.end).max().unwrap_or(0);
    (places, length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_that_live_together_never_overlap_and_others_share() {
        let needs: Vec<Need> =
            (0..40).map(|i| Need { length: 10 + (i * 37) % 200, from: i, to: i + 1 + (i * 7) % 5 }).collect();
        let (places, length) = plan(&needs);
        for (i, a) in needs.iter().enumerate() {
            assert_eq!(places[i].len(), a.length);
            for (j, b) in needs.iter().enumerate().skip(i + 1) {
                let together = a.from <= b.to && b.from <= a.to;
                let overlap = places[i].start < places[j].end && places[j].start < places[i].end;
                assert!(!(together && overlap), "{i} {j}");
            }
        }
        assert!(length < needs.iter().map(|need| need.length).sum::<usize>() / 2);
    }
}
