//! The sinks that the arguments ask for.

use comet_engine::image::OverlayStyle;

use super::args::OutputArgs;
use crate::sink::{ContactSheet, FrameFiles, InputFiles, MaskFiles, OverlayFiles, Sink, SinkError};

/// The sinks that write files. They come first: they add the names of their files to the record that is printed.
pub(super) fn file_sinks(args: &OutputArgs) -> Result<Vec<Box<dyn Sink>>, SinkError> {
    let mut sinks: Vec<Box<dyn Sink>> = Vec::new();
    if let Some(folder) = &args.masks {
        sinks.push(Box::new(MaskFiles::new(folder)?));
    }
    if let Some(folder) = &args.dump_input {
        sinks.push(Box::new(InputFiles::new(folder)?));
    }
    if let Some(folder) = &args.overlay {
        sinks.push(Box::new(OverlayFiles::new(folder, style(args))?));
    }
    if let Some(file) = &args.contact_sheet {
        sinks.push(Box::new(ContactSheet::new(file, style(args))?));
    }
    if let Some(folder) = &args.dump_frames {
        sinks.push(Box::new(FrameFiles::new(folder)?));
    }
    Ok(sinks)
}

/// How maps are drawn.
pub(super) fn style(args: &OutputArgs) -> OverlayStyle {
    OverlayStyle {
        colormap: args.colormap,
        opacity: args.opacity as f32,
        background: args.overlay_background,
        ..OverlayStyle::default()
    }
}
