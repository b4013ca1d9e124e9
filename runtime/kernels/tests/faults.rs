//! What no kernel can do is an error when it is made or run, never a panic.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use comet_kernels::{
    Add, ChannelScale, Compose, Conv, ConvShape, ConvSpec, Depthwise, Dequantize, Fault, GlobalAverage, Halo,
    Layout, MaxPool, Pool, Quantization, Quantize, Resize, Table, Target, Tier, add_real, sigmoid,
};

const NO_HALO: Halo = Halo { top: 0, left: 0, bottom: 0, right: 0 };
const BYTES: Target = Target::Bytes { zero_point: 0, low: 0, high: 255 };
const UNIT: Quantization = Quantization { scale: 1.0, zero_point: 0 };
/// Invalid scales: among them a number so small that its reciprocal is infinite.
const INVALID_SCALES: [f32; 7] = [0.0, -0.0, -1.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e-42];

fn layout(channels: usize, height: usize, width: usize) -> Layout {
    Layout::new(channels, height, width, NO_HALO).unwrap()
}

fn shape(kernel: usize) -> ConvShape {
    ConvShape { channels: 3, kernel: [kernel; 2], stride: [1; 2], dilation: [1; 2], padding: NO_HALO }
}

/// A 1x1 convolution of a tensor of three channels.
fn spec(tensor: Layout, weights: &[i8], target: Target) -> ConvSpec<'_> {
    ConvSpec {
        shape: shape(1),
        input: tensor,
        zero_point: 0,
        weights,
        bias: &[0; 3],
        multipliers: &[1.0; 3],
        output: tensor,
        target,
    }
}

fn is_shape<T>(result: Result<T, Fault>) -> bool {
    matches!(result, Err(Fault::Shape(_)))
}

#[test]
fn tiers_are_found_by_their_names() {
    for tier in Tier::ALL {
        assert_eq!(Tier::named(tier.name()), Some(tier));
        assert_eq!(Tier::available().any(|other| other == tier), tier.is_available());
    }
    for name in ["", "avx", "AVX2", "scalar ", "neon-"] {
        assert_eq!(Tier::named(name), None, "{name}");
    }
    assert!(Tier::Scalar.is_available() && Tier::detect().is_available());
    assert_eq!(Tier::available().next(), Some(Tier::detect()));
}

#[test]
fn a_tier_that_the_processor_lacks_is_refused_by_every_kernel() {
    let (tensor, pixel) = (layout(3, 4, 4), layout(3, 1, 1));
    for tier in Tier::ALL {
        let results = [
            Conv::new(tier, &spec(tensor, &[1; 9], BYTES)).err(),
            Depthwise::new(tier, &spec(tensor, &[1; 3], BYTES)).err(),
            Add::new(tier, [tensor; 2], [UNIT; 2], tensor, 1.0, BYTES).err(),
            Table::new(tier, (tensor, UNIT), (tensor, UNIT), |x| x).err(),
            ChannelScale::new(tier, (tensor, UNIT), (pixel, UNIT), (tensor, UNIT)).err(),
            GlobalAverage::new(tier, (tensor, UNIT), (pixel, UNIT)).err(),
            MaxPool::new(tier, shape(1), tensor, tensor).err(),
            Quantize::new(tier, tensor, UNIT).err(),
            Compose::new(tier, tensor, UNIT).err(),
            Resize::new(tier, [2, 2], [3, 3]).err(),
            add_real(tier, &[1.0], &mut [1.0]).err(),
            sigmoid(tier, &mut [1.0]).err(),
        ];
        let expected = if tier.is_available() { None } else { Some(Fault::Tier(tier.name())) };
        for (index, result) in results.into_iter().enumerate() {
            assert_eq!(result, expected, "{tier:?}, kernel {index}");
        }
    }
}

#[test]
fn layouts_without_values_or_beyond_memory_are_refused() {
    const MAX: usize = usize::MAX;
    let empty = [[0, 1, 1], [1, 0, 1], [1, 1, 0]];
    let large = [[MAX, 1, 1], [1, MAX, 1], [1, 1, MAX], [MAX; 3], [MAX / 2; 3]];
    let halos = [
        Halo { top: MAX, ..NO_HALO },
        Halo { left: MAX, ..NO_HALO },
        Halo { bottom: MAX, ..NO_HALO },
        Halo { right: MAX, ..NO_HALO },
        Halo { top: MAX, left: MAX, bottom: MAX, right: MAX },
        Halo { top: MAX / 2, left: MAX / 2, bottom: MAX / 2, right: MAX / 2 },
        Halo { top: 1 << 15, left: 1 << 15, bottom: 0, right: 0 },
    ];
    for new in [Layout::new as fn(usize, usize, usize, Halo) -> Result<Layout, Fault>, Layout::image] {
        for [channels, height, width] in empty.into_iter().chain(large) {
            for halo in [NO_HALO, Halo { top: MAX, left: 1, bottom: MAX, right: 1 }] {
                assert!(is_shape(new(channels, height, width, halo)), "{channels} {height} {width} {halo:?}");
            }
        }
        for halo in halos {
            assert!(is_shape(new(3, 4, 5, halo)), "{halo:?}");
        }
        assert!(new(16, 8192, 8192, NO_HALO).is_ok(), "1 GiB");
        assert!(is_shape(new(16, 8192, 8193, NO_HALO)), "more than 1 GiB");
    }
}

#[test]
fn a_halo_is_not_filled_in_a_slice_that_is_too_short() {
    let layout = Layout::new(3, 4, 5, Halo { top: 1, left: 1, bottom: 1, right: 1 }).unwrap();
    for length in [0, 1, layout.bytes() - 1, layout.len() - 1] {
        assert!(is_shape(layout.fill_halo(&mut vec![0; length], 1)), "{length} of {} bytes", layout.len());
    }
}

#[test]
fn invalid_scales_are_refused() {
    let tensor = layout(3, 4, 4);
    for scale in INVALID_SCALES {
        assert_eq!(Quantization::new(scale, 5), Err(Fault::Scale), "{scale}");
        let add = Add::new(Tier::Scalar, [tensor; 2], [UNIT; 2], tensor, scale, BYTES);
        assert_eq!(add.err(), Some(Fault::Scale), "{scale}");
    }
    for scale in [1e-30, 0.019, 1.0, 1e30] {
        assert!(Quantization::new(scale, 5).is_ok(), "{scale}");
    }
}

#[test]
fn two_invalid_scales_do_not_make_a_valid_one() {
    let (tensor, pixel) = (layout(3, 4, 4), layout(3, 1, 1));
    let negative = Quantization { scale: -1.0, zero_point: 0 };
    let faults = [
        Add::new(Tier::Scalar, [tensor; 2], [negative; 2], tensor, -1.0, BYTES).err(),
        GlobalAverage::new(Tier::Scalar, (tensor, negative), (pixel, negative)).err(),
        ChannelScale::new(Tier::Scalar, (tensor, negative), (pixel, negative), (tensor, UNIT)).err(),
    ];
    for (index, fault) in faults.into_iter().enumerate() {
        assert_eq!(fault, Some(Fault::Scale), "kernel {index}");
    }
}

#[test]
fn tensors_that_do_not_belong_together_are_refused() {
    let (tier, tensor, pixel) = (Tier::Scalar, layout(3, 4, 4), layout(3, 1, 1));
    let image = Layout::image(3, 4, 4, NO_HALO).unwrap();
    for other in [layout(4, 4, 4), layout(3, 5, 4), layout(3, 4, 3), layout(17, 4, 4), image] {
        let results = [
            Add::new(tier, [tensor, other], [UNIT; 2], tensor, 1.0, BYTES).is_err(),
            Add::new(tier, [other, tensor], [UNIT; 2], tensor, 1.0, BYTES).is_err(),
            Add::new(tier, [tensor; 2], [UNIT; 2], other, 1.0, BYTES).is_err(),
            Table::new(tier, (tensor, UNIT), (other, UNIT), |x| x).is_err(),
            ChannelScale::new(tier, (tensor, UNIT), (pixel, UNIT), (other, UNIT)).is_err(),
            ChannelScale::new(tier, (tensor, UNIT), (other, UNIT), (tensor, UNIT)).is_err(),
            GlobalAverage::new(tier, (tensor, UNIT), (other, UNIT)).is_err(),
            MaxPool::new(tier, shape(1), tensor, other).is_err(),
        ];
        assert_eq!(results, [true; 8], "{other:?}");
    }
    assert!(is_shape(Add::new(tier, [tensor; 2], [UNIT; 2], tensor, 1.0, Target::Reals)));
    let moved = Layout::new(3, 4, 4, Halo { left: 1, ..NO_HALO }).unwrap();
    let table = Table::new(tier, (tensor, UNIT), (moved, UNIT), |x| x).unwrap();
    assert!(is_shape(table.run_in_place(&Pool::new(1).unwrap(), &mut vec![0; moved.len()])));
    for [height, width] in [[0, 4], [4, 0], [4097, 4], [4, usize::MAX]] {
        assert!(is_shape(Resize::new(tier, [height, width], [4, 4])));
        assert!(is_shape(Resize::new(tier, [4, 4], [height, width])));
    }
}

#[test]
fn slices_of_another_size_are_refused() {
    let (tier, pool) = (Tier::detect(), Pool::new(2).unwrap());
    let (tensor, pixel) = (layout(3, 4, 4), layout(3, 1, 1));
    let bytes = |count: usize| vec![0u8; count];
    let reals = |count: usize| vec![0f32; count];
    let (whole, one) = (tensor.len(), pixel.len());
    let conv = Conv::new(tier, &spec(tensor, &[1; 9], BYTES)).unwrap();
    let real = Conv::new(tier, &spec(tensor, &[1; 9], Target::Reals)).unwrap();
    let depthwise = Depthwise::new(tier, &spec(tensor, &[1; 3], BYTES)).unwrap();
    let add = Add::new(tier, [tensor; 2], [UNIT; 2], tensor, 1.0, BYTES).unwrap();
    let table = Table::new(tier, (tensor, UNIT), (tensor, UNIT), |x| x).unwrap();
    let scale = ChannelScale::new(tier, (tensor, UNIT), (pixel, UNIT), (tensor, UNIT)).unwrap();
    let average = GlobalAverage::new(tier, (tensor, UNIT), (pixel, UNIT)).unwrap();
    let pooling = MaxPool::new(tier, shape(1), tensor, tensor).unwrap();
    let quantize = Quantize::new(tier, tensor, UNIT).unwrap();
    let dequantize = Dequantize::new(tensor, UNIT);
    let compose = Compose::new(tier, tensor, UNIT).unwrap();
    let resize = Resize::new(tier, [2, 2], [3, 3]).unwrap();
    // Sizes are those of the slices that a kernel takes; the first row is right.
    let run = |a: usize, b: usize, c: usize, p: usize, q: usize| {
        [
            conv.run(&pool, &bytes(a), &mut bytes(c)),
            real.run_real(&pool, &bytes(a), &mut reals(p)),
            depthwise.run(&pool, &bytes(a), &mut bytes(c)),
            add.run(&pool, &bytes(a), &bytes(whole), &mut bytes(c)),
            add.run(&pool, &bytes(whole), &bytes(a), &mut bytes(c)),
            table.run(&pool, &bytes(a), &mut bytes(c)),
            table.run_in_place(&pool, &mut bytes(a.min(c))),
            scale.run(&pool, &bytes(a), &bytes(b), &mut bytes(c)),
            average.run(&bytes(a), &mut bytes(b)),
            pooling.run(&pool, &bytes(a), &mut bytes(c)),
            quantize.run(&pool, &reals(p), &mut bytes(c)),
            dequantize.run(&bytes(a), &mut reals(p)),
            compose.run(&pool, &reals(p), &reals(q), &mut bytes(c)),
        ]
    };
    assert!(run(whole, one, whole, 48, 16).iter().all(|result| result.is_ok()));
    assert!(run(whole + 9, one + 9, whole + 9, 48, 16).iter().all(|result| result.is_ok()));
    for wrong in [0, 1, 47, 49] {
        // Every kernel is given a wrong size somewhere.
        let results = run(whole - 1, one - 1, whole, wrong, 16);
        assert_eq!(results.map(is_shape), [true; 13], "inputs, {wrong}");
        let results = run(whole, one - 1, whole - 1, wrong, 15);
        assert_eq!(results.map(is_shape), [true; 13], "outputs, {wrong}");
    }
    assert_eq!(run(whole, one - 1, whole, 48, 17).map(is_shape).iter().filter(|wrong| **wrong).count(), 3);
    assert!(is_shape(conv.run_real(&pool, &bytes(whole), &mut reals(48))), "bytes as real numbers");
    assert!(is_shape(real.run(&pool, &bytes(whole), &mut bytes(whole))), "real numbers as bytes");
    for (from, to) in [(4, 10), (4, 8), (5, 9), (8, 9), (4, 18), (4, 0)] {
        assert!(is_shape(resize.run(&reals(from), &mut reals(to))), "{from} {to}");
    }
    assert!(is_shape(add_real(tier, &[1.0], &mut [1.0, 2.0])));
}
