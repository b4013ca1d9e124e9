//! JPEGs as cameras, networks and people deliver them: where an image ends, and whether it is whole.

mod huffman;
mod mcu;
mod walk;

pub use huffman::with_tables;
pub(super) use mcu::check_blocks;
pub use walk::{Step, Walker, find_start, is_cut_off, is_jpeg, whole};

#[cfg(test)]
pub(super) mod sample;
