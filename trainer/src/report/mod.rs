//! Reports for people: curves of a run, contact sheets of maps, and one page about an evaluation.

mod axis;
mod curves;
mod escape;
mod html;
mod plot;
mod sheet;
mod tables;
mod training;
#[cfg(test)]
mod well_formed;

pub use curves::precision_recall_panel;
pub use escape::escape;
pub use html::evaluation_html;
pub use plot::{Panel, Series, Target, curves_svg};
pub use sheet::{SheetEntry, contact_sheet, evaluation_sheet, png_bytes};
pub use training::training_panels;
