//! Depthwise convolutions of every tier and any number of threads against the ONNX formula: equal, byte for
//! byte.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod reference;

use reference::case::{Case, Plan};
use reference::random::ZERO_POINTS;
use reference::{pools, seeds};

#[test]
fn random_depthwise_convolutions_are_those_of_the_formula() {
    let pools = pools();
    let mut seen = [false; 256];
    for seed in seeds(150) {
        let case = Case::random(seed, true);
        case.check(&pools);
        case.bytes().iter().for_each(|byte| seen[usize::from(*byte)] = true);
    }
    assert!(cfg!(miri) || seen.iter().all(|seen| *seen));
}

#[test]
#[cfg_attr(miri, ignore = "too slow")]
fn any_number_of_channels() {
    let pools = pools();
    for channels in 1..=145 {
        let plan = Plan::depthwise(channels, [4, 5], [3, 3]).padded([1; 4]).strided([1, 2]);
        Case::new(plan, channels as u64).check(&pools);
    }
}

#[test]
#[cfg_attr(miri, ignore = "too slow")]
fn any_number_of_channels_under_5x5_padded_behind() {
    let pools = pools();
    for channels in 1..=145 {
        // TensorFlow's "same": what is missing lies behind, more than before.
        for (stride, padding) in [(1, [2; 4]), (2, [1, 1, 2, 2])] {
            let plan = Plan::depthwise(channels, [6, 8], [5, 5]).padded(padding).strided([stride; 2]);
            Case::new(plan, channels as u64).check(&pools);
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "too slow")]
fn any_number_of_columns() {
    let pools = pools();
    for width in 1..=32 {
        for channels in [9, 16, 32, 40] {
            let plan = Plan::depthwise(channels, [2, width], [3, 2]).padded([1, 0, 1, 1]);
            Case::new(plan, width as u64).check(&pools);
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "too slow")]
fn any_number_of_taps() {
    let pools = pools();
    for rows in 1..=7 {
        for columns in 1..=7 {
            let plan = Plan::depthwise(33, [7, 8], [rows, columns]).padded([1, 2, 0, 1]);
            Case::new(plan, (rows * 10 + columns) as u64).check(&pools);
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "too slow")]
fn sums_at_their_largest_do_not_saturate_on_the_way() {
    let pools = pools();
    let pairs = [(-128, 255), (-128, 0), (127, 255), (127, 0), (-127, 255), (0, 255)];
    for (weight, byte) in pairs {
        for zero_point in ZERO_POINTS {
            let plan = Plan {
                zero_point,
                weight: Some(weight),
                byte: Some(byte),
                ..Plan::depthwise(17, [7, 7], [7, 7]).padded([0, 1, 1, 0])
            };
            Case::new(plan, u64::from(byte)).check(&pools);
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "too slow")]
fn layers_of_networks() {
    let pools = pools();
    let layers = [
        ("3x3", Plan::depthwise(64, [14, 14], [3, 3]).padded([1; 4])),
        ("3x3 in steps of two", Plan::depthwise(72, [15, 14], [3, 3]).padded([1; 4]).strided([2, 2])),
        ("3x3 padded behind", Plan::depthwise(24, [16, 16], [3, 3]).padded([0, 0, 1, 1]).strided([2, 2])),
        ("5x5", Plan::depthwise(120, [7, 7], [5, 5]).padded([2; 4])),
        ("5x5 padded behind", Plan::depthwise(144, [14, 14], [5, 5]).padded([1, 1, 2, 2]).strided([2, 2])),
        ("5x5 padded before", Plan::depthwise(96, [9, 11], [5, 5]).padded([2, 2, 1, 1]).strided([2, 2])),
        ("only padding at the corners", Plan::depthwise(4, [1, 1], [3, 3]).padded([5, 4, 3, 5])),
        ("steps past the last window", Plan::depthwise(8, [9, 8], [2, 2]).strided([5, 7])),
        ("one value", Plan::depthwise(1, [1, 1], [1, 1])),
    ];
    for (name, plan) in layers {
        for seed in 0..3 {
            println!("{name}, seed {seed}");
            Case::new(plan, seed).check(&pools);
        }
    }
}
