//! Reports for people: curves of a run, contact sheets of maps, and one page about an evaluation.

mod axis;
mod curves;
mod escape;
mod html;
mod plot;
mod record;
mod sheet;
mod tables;
#[cfg(test)]
mod well_formed;

pub use curves::{precision_recall_panel, training_panels};
pub use escape::escape;
pub use html::evaluation_html;
pub use plot::{Panel, Series, Target, curves_svg};
pub use record::{EpochRecord, Phase, ValidationRecord, read_records};
pub use sheet::{SheetEntry, contact_sheet, evaluation_sheet, png_bytes};
