//! A model that runs on integer kernels as a whole allocates nothing while it runs: the time of a frame does not depend
//! on what else the program keeps, and memory cannot grow over months.
//!
//! This file replaces the allocator of its process by one that counts the allocations of each thread.

use std::hint::black_box;

use allocation_counter::measure;
use comet_engine::model::ModelFile;
use comet_engine::run::{Kernels, Options, Session, Tier};
use comet_tests::fixture::image;
use comet_tests::shipped_model;

const WARM_UP: usize = 2;
const FRAMES: usize = 20;

#[test]
fn the_counter_counts() {
    let none = measure(|| {
        black_box(1 + black_box(1));
    });
    let one = measure(|| drop(black_box(vec![0u8; 1000])));
    assert_eq!((none.count_total, one.count_total), (0, 1));
}

/// Allocations of the calling thread over [`FRAMES`] frames, each of another image.
fn allocations(file: &str, options: Options) -> anyhow::Result<u64> {
    let model = ModelFile::read(&shipped_model(file))?;
    let mut session = Session::with_options(&model, options)?;
    let tensor = |number: usize| session.preprocess().tensor(&image(80, 60, number as u8));
    let tensors: Vec<Vec<f32>> = (0..WARM_UP + FRAMES).map(tensor).collect();
    let (mut mask, mut logits) = (Vec::new(), Vec::new());
    for tensor in &tensors[..WARM_UP] {
        session.run_into(tensor, &mut mask, &mut logits)?;
    }
    let mut predicted = 0;
    let counted = measure(|| {
        for tensor in &tensors[WARM_UP..] {
            predicted += usize::from(session.run_into(tensor, &mut mask, &mut logits).is_ok());
        }
    });
    assert_eq!(predicted, FRAMES, "{file} {options:?}");
    assert!(!mask.is_empty() && !logits.is_empty(), "{file} {options:?}");
    Ok(counted.count_total)
}

#[test]
fn an_int8_model_allocates_nothing_while_it_runs() -> anyhow::Result<()> {
    for file in ["hands.int8.onnx", "plants.int8.onnx"] {
        for threads in [1, 2] {
            for tier in Tier::available() {
                let options = Options { threads, kernels: Kernels::Tier(tier) };
                assert_eq!(allocations(file, options)?, 0, "{file} {options:?}, {FRAMES} frames");
            }
        }
    }
    Ok(())
}

/// Else the test above would say nothing about integer kernels.
#[test]
fn the_same_model_allocates_in_tract() -> anyhow::Result<()> {
    let options = Options { threads: 1, kernels: Kernels::Tract };
    assert!(allocations("hands.int8.onnx", options)? > 0);
    Ok(())
}
