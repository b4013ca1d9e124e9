//! The flags that are settings, by the names that a file and the environment give them.

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::cli::environment::PREFIX;

/// The flag that names the file.
pub(super) const CONFIG: &str = "config";
/// How alike two names must be, from 0 to 1, for one to be suggested for the other: `fsp`, `fps`.
const ALIKE: f64 = 0.6;

/// The flags that can be set.
pub(super) fn options(run: &Command) -> impl Iterator<Item = &Arg> {
    let asks = |action: &ArgAction| {
        matches!(action, ArgAction::Help | ArgAction::HelpShort | ArgAction::HelpLong | ArgAction::Version)
    };
    run.get_arguments().filter(move |arg| arg.get_long().is_some() && !asks(arg.get_action()))
}

pub(super) fn is_typed(typed: &ArgMatches, arg: &Arg) -> bool {
    let is_typed = |id: &str| typed.value_source(id) == Some(ValueSource::CommandLine);
    typed.ids().any(|id| id == arg.get_id() && is_typed(id.as_str()))
}

/// `COMET_EDGE_NO_RECONNECT` for `--no-reconnect`.
pub(super) fn variable(arg: &Arg) -> String {
    format!("{PREFIX}{}", arg.get_long().unwrap_or_default().to_uppercase().replace('-', "_"))
}

/// The flag whose name is most like `key`, if one is.
pub(super) fn nearest<'a>(key: &str, run: &'a Command) -> Option<&'a Arg> {
    let likeness =
        |arg: &Arg| strsim::normalized_damerau_levenshtein(key, arg.get_long().unwrap_or_default());
    let alike = options(run).map(|arg| (likeness(arg), arg)).filter(|(likeness, _)| *likeness >= ALIKE);
    alike.max_by(|one, other| one.0.total_cmp(&other.0)).map(|(_, arg)| arg)
}
