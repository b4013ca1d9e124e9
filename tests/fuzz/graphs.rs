//! Quantized graphs that are broken in several places at once: each is refused, or still gives a map and logits of the
//! right size. A panic that comes through, an endless loop or too much memory is a fault.
//!
//! The input's first byte chooses a graph; each three bytes behind it choose a mutation and the seed it draws from, so that
//! small inputs are small changes, and a fault can be shrunk to the mutations that it needs.
#![no_main]
#![allow(dead_code, reason = "the tests use all of these modules")]

#[path = "../src/mutation/mod.rs"]
mod mutation;
#[path = "../src/random.rs"]
mod random;
#[path = "../src/small_model.rs"]
mod small_model;
#[path = "../src/surgery.rs"]
mod surgery;

use comet_onnx::proto::{Message, ModelProto};
use comet_engine::run::{Kernels, Options, Session};
use comet_engine::model::ModelFile;
use libfuzzer_sys::{Corpus, fuzz_target};

const BASES: [&[u8]; 4] = [
    include_bytes!("../golden/foreign/one_region.onnx"),
    include_bytes!("../golden/foreign/u8_per_channel.onnx"),
    include_bytes!("../golden/foreign/s8_symmetric.onnx"),
    include_bytes!("../golden/foreign/one_conv_left_out.onnx"),
];
/// More would leave nothing of the graph.
const MOST_MUTATIONS: usize = 6;

fuzz_target!(|bytes: &[u8]| -> Corpus { graph(bytes) });

fn graph(bytes: &[u8]) -> Corpus {
    let Some((base, rest)) = bytes.split_first() else { return Corpus::Reject };
    let Ok(mut proto) = ModelProto::decode(BASES[usize::from(*base) % BASES.len()]) else { return Corpus::Reject };
    let mut broken = false;
    for [which, low, high] in rest.as_chunks::<3>().0.iter().take(MOST_MUTATIONS) {
        let (_, mutate) = mutation::MUTATIONS[usize::from(*which) % mutation::MUTATIONS.len()];
        let mut random = random::SplitMix64::new(u64::from(u16::from_le_bytes([*low, *high])));
        broken |= mutate(proto.graph.get_or_insert_default(), &mut random).is_some();
    }
    if !broken {
        return Corpus::Reject;
    }
    let Ok(file) = ModelFile::parse("fuzz", &proto.encode_to_vec(), false) else { return Corpus::Keep };
    let options = Options { threads: 1, kernels: Kernels::Auto };
    let Ok(mut session) = Session::with_options(&file, options) else { return Corpus::Keep };
    let preprocess = &file.manifest().preprocess;
    let pixels = preprocess.width as usize * preprocess.height as usize;
    if let Ok(prediction) = session.run(&vec![0.5; 3 * pixels]) {
        assert_eq!(prediction.mask.values().len(), pixels);
        assert_eq!(prediction.logits.len(), file.manifest().classes.len());
    }
    Corpus::Keep
}
