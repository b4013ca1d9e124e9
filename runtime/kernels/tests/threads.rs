//! Work that is large enough to be split gives the same bytes on any number of threads.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod reference;

use comet_kernels::{
    Add, ChannelScale, Compose, ConvShape, Fault, Halo, Layout, MaxPool, Pool, Quantization, Quantize, Table,
    Target, Tier,
};

use reference::buffer::{Buffer, assert_same, assert_writes};
use reference::case::{Case, Plan};
use reference::random::Random;

/// One thread, even and odd numbers of them, more than most boards have cores to spare.
const THREADS: [usize; 4] = [1, 2, 3, 5];
/// Multiplications from which on a convolution is split; a depthwise one is from an eighth of them on.
const SPLIT: usize = 8_000_000;
/// A tensor large enough that the rows of the lighter kernels are split.
const SHAPE: [usize; 3] = [64, 41, 42];
const TO: Quantization = Quantization { scale: 0.05, zero_point: 117 };

fn pools() -> Vec<Pool> {
    THREADS.into_iter().map(|threads| Pool::new(threads).unwrap()).collect()
}

fn check_into_bytes_and_reals(plan: Plan) {
    assert!(plan.multiplications().unwrap() >= SPLIT);
    let mut case = Case::new(plan, 1);
    for target in [Target::Bytes { zero_point: 117, low: 3, high: 250 }, Target::Reals] {
        case.target = target;
        case.check(&pools());
    }
}

#[test]
#[cfg_attr(miri, ignore = "too slow")]
fn a_convolution_split_by_pixels() {
    check_into_bytes_and_reals(Plan::dense([64, 64], [24, 24], [2, 2]).padded([1, 0, 0, 1]));
}

#[test]
#[cfg_attr(miri, ignore = "too slow")]
fn a_convolution_over_few_pixels_split_by_channels() {
    check_into_bytes_and_reals(Plan::dense([128, 512], [7, 7], [1, 3]).padded([0, 1, 0, 1]));
}

#[test]
#[cfg_attr(miri, ignore = "too slow")]
fn a_convolution_of_one_pixel_split_by_channels_that_do_not_fill_a_block() {
    check_into_bytes_and_reals(Plan::dense([1030, 997], [1, 8], [1, 8]));
}

#[test]
#[cfg_attr(miri, ignore = "too slow")]
fn a_depthwise_convolution_split_by_rows() {
    let plan = Plan::depthwise(72, [47, 48], [3, 3]).padded([1; 4]);
    assert!(plan.multiplications().unwrap() * 8 >= SPLIT);
    Case::new(plan, 1).check(&pools());
}

#[test]
#[cfg_attr(miri, ignore = "too slow")]
fn two_callers_share_a_pool() {
    let pools = [Pool::new(3).unwrap()];
    let case = Case::new(Plan::depthwise(72, [47, 48], [3, 3]).padded([1; 4]), 2);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| (0..3).for_each(|_| case.check(&pools)));
        }
    });
}

/// What one thread of the reference tier gives and all others must give.
fn assert_same_bytes(layout: Layout, run: impl Fn(Tier, &Pool, &mut [u8]) -> Result<(), Fault>) -> Vec<u8> {
    assert!(layout.height() * layout.width() * layout.channels() >= 100_000);
    let pools = pools();
    let mut expected = Buffer::output(layout);
    run(Tier::Scalar, &pools[0], expected.slice_mut()).unwrap();
    let expected = expected.values();
    for tier in Tier::available() {
        for pool in &pools {
            let name = format!("{tier:?}, {} threads", pool.threads());
            assert_writes(&name, layout, &expected, |output| run(tier, pool, output));
        }
    }
    expected
}

/// A random tensor of `SHAPE`.
fn tensor(random: &mut Random) -> (Layout, Buffer) {
    let layout = random.layout(SHAPE);
    let values = random.bytes(SHAPE.iter().product());
    (layout, Buffer::input(layout, &values, random.byte(), random))
}

#[test]
#[cfg_attr(miri, ignore = "too slow")]
fn sums_split_by_rows() {
    let random = &mut Random::new(3);
    let [(left, one), (right, other)] = [tensor(random), tensor(random)];
    let target = Target::Bytes { zero_point: 100, low: 100, high: 255 };
    let output = random.layout(SHAPE);
    assert_same_bytes(output, |tier, pool, bytes| {
        let add = Add::new(tier, [left, right], [TO; 2], output, 0.07, target)?;
        add.run(pool, one.slice(), other.slice(), bytes)
    });
}

#[test]
#[cfg_attr(miri, ignore = "too slow")]
fn tables_split_by_rows() {
    let random = &mut Random::new(4);
    let (input, source) = tensor(random);
    let output = random.layout(SHAPE);
    let function = |x: f32| 2.0 - x * x;
    let expected = assert_same_bytes(output, |tier, pool, bytes| {
        Table::new(tier, (input, TO), (output, TO), function)?.run(pool, source.slice(), bytes)
    });
    for tier in Tier::available() {
        let table = Table::new(tier, (input, TO), (input, TO), function).unwrap();
        for pool in pools() {
            let mut tensor = Buffer::input(input, &source.values(), 0, random);
            table.run_in_place(&pool, tensor.slice_mut()).unwrap();
            let name = format!("in place, {tier:?}, {} threads", pool.threads());
            tensor.assert_written_inside(&name);
            assert_same(&name, &tensor.values(), &expected);
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "too slow")]
fn channel_factors_split_by_rows() {
    let random = &mut Random::new(5);
    let (input, source) = tensor(random);
    let weight = random.layout([SHAPE[0], 1, 1]);
    let weights = random.bytes(SHAPE[0]);
    let factors = Buffer::input(weight, &weights, 0, random);
    let output = random.layout(SHAPE);
    assert_same_bytes(output, |tier, pool, bytes| {
        let scale = ChannelScale::new(tier, (input, TO), (weight, TO), (output, TO))?;
        scale.run(pool, source.slice(), factors.slice(), bytes)
    });
}

#[test]
#[cfg_attr(miri, ignore = "too slow")]
fn max_pooling_split_by_rows() {
    let random = &mut Random::new(6);
    let (input, source) = tensor(random);
    let padding = Halo { top: 1, left: 1, bottom: 1, right: 1 };
    let shape = ConvShape { channels: SHAPE[0], kernel: [3; 2], stride: [1; 2], dilation: [1; 2], padding };
    let output = random.layout(SHAPE);
    assert_same_bytes(output, |tier, pool, bytes| {
        MaxPool::new(tier, shape, input, output)?.run(pool, source.slice(), bytes)
    });
}

#[test]
#[cfg_attr(miri, ignore = "too slow")]
fn quantizing_and_compositing_split_by_rows() {
    let random = &mut Random::new(7);
    let output = random.layout(SHAPE);
    let image = random.reals(SHAPE.iter().product(), -10.0..=10.0);
    let mask = random.reals(SHAPE[1] * SHAPE[2], 0.0..=1.0);
    assert_same_bytes(output, |tier, pool, bytes| Quantize::new(tier, output, TO)?.run(pool, &image, bytes));
    assert_same_bytes(output, |tier, pool, bytes| {
        Compose::new(tier, output, TO)?.run(pool, &image, &mask, bytes)
    });
}

#[test]
fn a_pool_has_the_callers_thread_at_least() {
    for (asked, threads) in [(0, 1), (1, 1), (2, 2), (5, 5)] {
        assert_eq!(Pool::new(asked).unwrap().threads(), threads);
    }
}
