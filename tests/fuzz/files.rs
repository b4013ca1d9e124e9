//! Any bytes as a model file: refused with a reason, or read and prepared.
#![no_main]

use comet_engine::run::Session;
use comet_engine::model::ModelFile;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(file) = ModelFile::parse("fuzz", bytes, false) {
        // Whether it can be prepared or not: both outcomes are fine.
        let _ = Session::new(&file);
    }
});
