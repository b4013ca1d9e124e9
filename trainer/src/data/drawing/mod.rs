//! What generated sets are drawn with: colours, smooth noise, and random numbers within limits.

mod colour;
mod noise;
mod random;

pub(in crate::data) use colour::{Rgb, bytes, mix};
pub(in crate::data) use noise::SmoothNoise;
pub(in crate::data) use random::between;
