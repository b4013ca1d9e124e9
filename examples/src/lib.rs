//! The examples are the files beside `Cargo.toml`; there is nothing to link here.
