//! Where a tensor's bytes lie, and what filling a halo writes.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod reference;

use comet_kernels::{Halo, Layout};

use reference::buffer::Buffer;
use reference::random::Random;
use reference::seeds;

#[test]
fn filling_a_halo_writes_every_byte_of_it_and_no_other() {
    for seed in seeds(80) {
        let random = &mut Random::new(seed);
        let shape = random.shape();
        let layout = random.layout(shape);
        let (halo, value) = (layout.halo(), 0xC3);
        let mut buffer = Buffer::output(layout);
        let before = buffer.slice().to_vec();
        layout.fill_halo(buffer.slice_mut(), value).unwrap();
        for (index, (now, before)) in buffer.slice().iter().zip(&before).enumerate() {
            let (y, x) = (index / layout.row(), index % layout.row() / layout.pixel());
            let inside = (halo.top..halo.top + layout.height()).contains(&y)
                && (halo.left..halo.left + layout.width()).contains(&x);
            let kept = inside || index >= layout.bytes();
            assert_eq!(*now, if kept { *before } else { value }, "seed {seed}, {layout:?}, byte {index}");
        }
    }
}

#[test]
fn pixels_are_padded_to_blocks_and_images_to_fours() {
    let halo = Halo { top: 1, left: 2, bottom: 3, right: 4 };
    let cases = [(1, 16, 4), (3, 16, 4), (4, 16, 4), (5, 16, 8), (16, 16, 16), (17, 32, 20)];
    for (channels, block, four) in cases {
        let tensor = Layout::new(channels, 5, 6, halo).unwrap();
        let image = Layout::image(channels, 5, 6, halo).unwrap();
        assert_eq!([tensor.pixel(), image.pixel()], [block, four], "{channels}");
        for layout in [tensor, image] {
            assert_eq!([layout.channels(), layout.height(), layout.width()], [channels, 5, 6]);
            assert_eq!(layout.halo(), halo);
            assert_eq!(layout.row(), 12 * layout.pixel());
            assert_eq!(layout.origin(), layout.row() + 2 * layout.pixel());
            assert_eq!(layout.bytes(), 9 * layout.row());
            assert!(layout.len() > layout.bytes() && !layout.is_empty());
        }
        assert!(tensor.same_shape(&image));
        assert!(tensor.same_shape(&Layout::new(channels, 5, 6, Halo::default()).unwrap()));
        assert!(!tensor.same_shape(&Layout::new(channels, 6, 5, halo).unwrap()));
    }
}

#[test]
fn the_union_of_two_halos_covers_both() {
    let (one, other) =
        (Halo { top: 1, left: 0, bottom: 3, right: 2 }, Halo { top: 0, left: 4, bottom: 1, right: 2 });
    let both = Halo { top: 1, left: 4, bottom: 3, right: 2 };
    assert_eq!((one.union(other), other.union(one)), (both, both));
    assert_eq!((one.union(Halo::default()), Halo::default().is_empty()), (one, true));
    assert!(!one.is_empty());
}
