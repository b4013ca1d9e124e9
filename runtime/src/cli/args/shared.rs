//! Arguments that several commands take.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, value_parser};
use comet_engine::image::{Colormap, OverlayBackground};

use super::values::ratio;

#[derive(Debug, Args)]
pub(crate) struct ModelArgs {
    /// Model file [default: the model that is built into the program]
    #[arg(long, value_name = "FILE")]
    pub(crate) model: Option<PathBuf>,
    /// Accept a model file whose checksum (its own SHA-256) is missing or wrong
    #[arg(long)]
    pub(crate) skip_hash: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ThreadArgs {
    /// Threads inside the network [default: one a core, at most 4]
    #[arg(long, value_name = "N", value_parser = value_parser!(u8).range(1..=64))]
    pub(crate) threads: Option<u8>,
}

impl ThreadArgs {
    /// The number to use.
    pub(crate) fn count(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        self.threads.map_or(cores.min(4), usize::from)
    }
}

#[derive(Debug, Args)]
pub(crate) struct OutputArgs {
    /// Write each image with its attribution map drawn in to DIR/<stem>.overlay.jpg
    #[arg(long, value_name = "DIR")]
    pub(crate) overlay: Option<PathBuf>,
    /// Write one image with the first twelve overlays in rows to FILE (PNG)
    #[arg(long, value_name = "FILE")]
    pub(crate) contact_sheet: Option<PathBuf>,
    /// Write each attribution map to DIR/<stem>.mask.png: 16-bit grey, of the model's input size
    #[arg(long, value_name = "DIR")]
    pub(crate) masks: Option<PathBuf>,
    /// Write each model input to DIR/<stem>.input.f32: raw little-endian [3, height, width]
    #[arg(long, value_name = "DIR")]
    pub(crate) dump_input: Option<PathBuf>,
    /// Write each image to DIR/<stem>.frame.png, without loss
    #[arg(long, value_name = "DIR")]
    pub(crate) dump_frames: Option<PathBuf>,
    /// Colours of the map in overlays: viridis or turbo
    #[arg(long, value_name = "NAME", default_value = "viridis")]
    pub(crate) colormap: Colormap,
    /// How much the map's colours cover in overlays where the map is 1, 0 to 1
    #[arg(long, value_name = "X", default_value_t = 0.45, value_parser = ratio)]
    pub(crate) opacity: f64,
    /// What overlays do with the image where the map is low: dim it, or keep it as it is
    #[arg(long, value_name = "HOW", default_value = "dim", value_parser = background())]
    pub(crate) overlay_background: OverlayBackground,
    /// Name the N likeliest classes
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u16).range(1..))]
    pub(crate) top_k: u16,
}

fn background() -> impl TypedValueParser<Value = OverlayBackground> {
    PossibleValuesParser::new(["dim", "keep"]).map(|name| match name.as_str() {
        "keep" => OverlayBackground::Keep,
        _ => OverlayBackground::Dim,
    })
}
