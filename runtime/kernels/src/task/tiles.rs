//! How work is cut into tiles.

/// Tiles of at most `limit` that cover `count`, as equal as they can be: 49 in tiles of up to 6 are 4 x 6 and 5 x 5.
pub(crate) fn even_tiles(count: usize, limit: usize) -> impl Iterator<Item = (usize, usize)> {
    let tiles = count.div_ceil(limit).max(1);
    let (size, larger) = (count / tiles, count % tiles);
    let mut start = 0usize;
    (0..tiles).filter_map(move |index| {
        let length = size.wrapping_add(usize::from(index < larger));
        let at = start;
        start = start.wrapping_add(length);
        (length > 0).then_some((at, length))
    })
}

/// Walks over the tiles of some rows of a depthwise convolution: blocks of `$channels` outside, rows inside, and calls
/// `$tile::<P>(task, row, column, block)` for tiles of `P` pixels, 1 to 4. A macro, so that the loop has the processor
/// features of the function that it stands in.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! each_depthwise_tile {
    ($task:ident, $rows:ident, $channels:ident, $tile:ident) => {
        for block in 0..$task.padded / $channels {
            for row in $rows.clone() {
                for (column, count) in $crate::task::tiles::even_tiles($task.width, 4) {
                    // SAFETY: the caller proves it for every tile of the rows.
                    unsafe {
                        match count {
                            1 => $tile::<1>($task, row, column, block),
                            2 => $tile::<2>($task, row, column, block),
                            3 => $tile::<3>($task, row, column, block),
                            _ => $tile::<4>($task, row, column, block),
                        }
                    }
                }
            }
        }
    };
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub(crate) use each_depthwise_tile;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_cover_everything_once_and_differ_by_one() {
        for count in 0..200 {
            for limit in 1..9 {
                let tiles: Vec<_> = even_tiles(count, limit).collect();
                let mut next = 0;
                for (start, length) in &tiles {
                    assert_eq!(*start, next);
                    assert!(*length <= limit && *length > 0);
                    next += length;
                }
                assert_eq!(next, count);
                let sizes = || tiles.iter().map(|tile| tile.1);
                assert!(sizes().max().unwrap_or(0) - sizes().min().unwrap_or(0) <= 1);
            }
        }
    }
}
