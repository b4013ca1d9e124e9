//! Convolutions of every tier and any number of threads against the ONNX formula: equal, byte for byte.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod reference;

use comet_kernels::Target;

use reference::case::{Case, Plan};
use reference::random::{EDGES, ZERO_POINTS};
use reference::{pools, seeds};

#[test]
fn random_convolutions_are_those_of_the_formula() {
    let pools = pools();
    let (mut seen, mut reals) = ([false; 256], 0);
    for seed in seeds(180) {
        let case = Case::random(seed, false);
        case.check(&pools);
        if case.target == Target::Reals {
            reals += 1;
        } else {
            case.bytes().iter().for_each(|byte| seen[usize::from(*byte)] = true);
        }
    }
    // The cases are worth something only if they reach every byte, and real numbers too.
    assert!(cfg!(miri) || (seen.iter().all(|seen| *seen) && reals > 10));
}

#[test]
#[cfg_attr(miri, ignore = "too slow")]
fn blocks_of_channels_end_anywhere() {
    let pools = pools();
    for from in EDGES {
        for to in EDGES {
            let plan = Plan::dense([from, to], [2, 5], [1, 2]).padded([0, 1, 0, 0]);
            Case::new(plan, (from * 100 + to) as u64).check(&pools);
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "too slow")]
fn tiles_of_pixels_end_anywhere() {
    let pools = pools();
    for to in [16, 32, 48, 64, 80, 96, 144] {
        for width in 1..=20 {
            let height = 1 + width % 3;
            let case = Case::new(Plan::dense([5, to], [height, width], [1, 1]), width as u64);
            case.check(&pools);
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "too slow")]
fn sums_at_their_largest_do_not_saturate_on_the_way() {
    let pools = pools();
    let pairs = [(-128, 255), (-128, 0), (127, 255), (127, 0), (-127, 255), (1, 255), (0, 255)];
    for (weight, byte) in pairs {
        for zero_point in ZERO_POINTS {
            for kernel in [[1, 1], [3, 3]] {
                let plan = Plan {
                    zero_point,
                    weight: Some(weight),
                    byte: Some(byte),
                    ..Plan::dense([65, 17], [3, 3], kernel).padded([0, 1, 1, 0])
                };
                Case::new(plan, u64::from(byte)).check(&pools);
            }
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "too slow")]
fn random_weights_meet_the_largest_bytes() {
    let pools = pools();
    for byte in [0, 255] {
        for seed in seeds(6) {
            let open = Plan::dense([70, 33], [2, 3], [1, 3]);
            let plan = Plan { byte: Some(byte), zero_point: 255 - byte, ..open };
            Case::new(plan, seed).check(&pools);
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "too slow")]
fn layers_of_networks() {
    let pools = pools();
    let layers = [
        ("a layer on an image", Plan::dense([3, 64], [20, 20], [7, 7]).padded([3; 4]).strided([2, 2])),
        ("a layer padded behind", Plan::dense([3, 16], [19, 20], [3, 3]).padded([0, 0, 1, 1])),
        (
            "an image in steps of two",
            Plan::dense([3, 32], [24, 26], [3, 3]).padded([0, 0, 1, 1]).strided([2, 2]),
        ),
        ("64 channels padded behind", Plan::dense([64, 64], [16, 16], [3, 3]).padded([0, 0, 2, 2])),
        ("1x1 with rows and columns behind", Plan::dense([24, 40], [6, 5], [1, 1]).padded([0, 0, 1, 1])),
        ("a fully connected layer", Plan::dense([512, 100], [1, 1], [1, 1])),
        ("a fully connected layer over pixels", Plan::dense([16, 10], [7, 7], [7, 7])),
        ("a shortcut", Plan::dense([64, 128], [14, 14], [1, 1]).strided([2, 2])),
        ("only padding at the corners", Plan::dense([4, 16], [1, 1], [3, 3]).padded([5, 4, 3, 5])),
        ("steps past the last window", Plan::dense([8, 8], [9, 8], [2, 2]).strided([5, 7])),
        ("steps over pixels", Plan::dense([8, 8], [11, 13], [1, 1]).strided([3, 4])),
    ];
    for (name, plan) in layers {
        for seed in 0..3 {
            println!("{name}, seed {seed}");
            Case::new(plan, seed).check(&pools);
        }
    }
}

#[test]
#[cfg_attr(not(target_arch = "x86_64"), ignore = "only AVX-512 has a way of its own for them")]
#[cfg_attr(miri, ignore = "too slow")]
fn layers_that_are_filtered_with_fewer_products() {
    let pools = pools();
    let shapes = [
        ([64, 64], [16, 16]),
        ([96, 64], [12, 20]),
        ([64, 128], [4, 52]),
        ([128, 64], [56, 4]),
        ([128, 128], [28, 28]),
    ];
    for (channels, sides) in shapes {
        for seed in 0..4 {
            Case::new(Plan::dense(channels, sides, [3, 3]).padded([1; 4]), seed).check(&pools);
        }
    }
    // Every product, sum and intermediate number at its largest and smallest.
    for weight in [None, Some(-128), Some(127)] {
        for byte in [None, Some(0), Some(255)] {
            for zero_point in ZERO_POINTS {
                let plan = Plan::dense([64, 64], [12, 16], [3, 3]).padded([1; 4]);
                Case::new(Plan { weight, byte, zero_point, ..plan }, u64::from(zero_point)).check(&pools);
            }
        }
    }
}
