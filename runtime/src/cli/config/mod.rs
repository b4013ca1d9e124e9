//! Settings of `run` from the environment and from a file, turned into the words that could have been typed.
//!
//! The flags are the only definition of names, types and limits: what is taken as `--fps 15` is taken as
//! `fps = 15` in the file and as `COMET_EDGE_FPS=15`. What is typed goes before the environment, and the
//! environment before the file; a setting that goes first also drops those that it cannot stand beside.

mod error;
mod file;
mod setting;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

pub(super) use error::ConfigError;
use error::ConfigErrorKind;
use setting::{Setting, Value};

/// The command that has settings.
const RUN: &str = "run";
/// The flag that names the file.
const CONFIG: &str = "config";
const PREFIX: &str = "COMET_EDGE_";
/// Variables that are no flags.
const OTHER_VARIABLES: [&str; 3] = ["COMET_EDGE_KERNEL", "COMET_EDGE_LOG", "COMET_EDGE_LONG_TESTS"];
/// Share of letters that two names have in common from which on one may be meant by the other: `fsp`, `fps`.
const ALIKE: f64 = 0.6;

/// The typed `args` (the program's name first), with the settings of `env` and of the file put behind `run`.
///
/// Arguments of other commands, and requests for help, come back as they are.
///
/// # Errors
/// A variable or a line of the file is not understood.
pub(super) fn expand(
    mut args: Vec<OsString>,
    env: impl Iterator<Item = (OsString, OsString)>,
    command: &Command,
) -> Result<Vec<OsString>, ConfigError> {
    // Faults of what was typed are the parser's to tell; it gets these words afterwards.
    let Ok(typed) = command.clone().ignore_errors(true).try_get_matches_from(&args) else {
        return Ok(args);
    };
    let mut known = command.clone();
    known.build();
    let (Some((RUN, typed)), Some(run)) = (typed.subcommand(), known.find_subcommand(RUN)) else {
        return Ok(args);
    };
    let variables = variables(env);
    let from_environment = from_environment(&variables, run)?;
    let from_file = match config_file(typed, &variables) {
        Some(file) => file::read(&file, run)?,
        None => Vec::new(),
    };
    let mut chosen: Vec<Setting<'_>> =
        options(run).filter(|arg| is_typed(typed, arg)).map(Setting::typed).collect();
    for layer in [from_environment, from_file] {
        for setting in &layer {
            setting.check(command, run)?;
        }
        let is_free = |setting: &Setting<'_>| !chosen.iter().any(|first| first.excludes(setting, run));
        let free: Vec<Setting<'_>> = layer.into_iter().filter(is_free).collect();
        chosen.extend(free);
    }
    let behind_run = args.iter().skip(1).position(|word| word == RUN).map_or(args.len(), |before| before + 2);
    let typed_words = args.split_off(behind_run);
    args.extend(chosen.into_iter().flat_map(|setting| setting.words));
    args.extend(typed_words);
    Ok(args)
}

/// The flags that can be set.
fn options(run: &Command) -> impl Iterator<Item = &Arg> {
    let asks = |action: &ArgAction| {
        matches!(action, ArgAction::Help | ArgAction::HelpShort | ArgAction::HelpLong | ArgAction::Version)
    };
    run.get_arguments().filter(move |arg| arg.get_long().is_some() && !asks(arg.get_action()))
}

fn is_typed(typed: &ArgMatches, arg: &Arg) -> bool {
    let is_typed = |id: &str| typed.value_source(id) == Some(ValueSource::CommandLine);
    typed.ids().any(|id| id == arg.get_id() && is_typed(id.as_str()))
}

/// Our variables, by name.
fn variables(env: impl Iterator<Item = (OsString, OsString)>) -> Vec<(String, OsString)> {
    let ours = |(name, value): (OsString, OsString)| {
        let name = name.into_string().ok()?;
        let is_setting = name.starts_with(PREFIX) && !OTHER_VARIABLES.contains(&name.as_str());
        is_setting.then_some((name, value))
    };
    let mut variables: Vec<_> = env.filter_map(ours).collect();
    variables.sort();
    variables
}

fn from_environment<'a>(
    variables: &[(String, OsString)],
    run: &'a Command,
) -> Result<Vec<Setting<'a>>, ConfigError> {
    let mut settings = Vec::new();
    for (name, value) in variables {
        let Some(arg) = options(run).find(|arg| variable(arg) == *name) else {
            let key = name.strip_prefix(PREFIX).unwrap_or(name).to_lowercase().replace('_', "-");
            let nearest = nearest(&key, run).map(variable);
            let kind = ConfigErrorKind::Unknown { name: name.clone(), nearest };
            return Err(ConfigError::new("the environment", kind));
        };
        // An empty variable is how units and containers take one back.
        if !value.is_empty() {
            settings.push(Setting::new(arg, name.clone(), Value::of_variable(arg, value))?);
        }
    }
    Ok(settings)
}

/// `COMET_EDGE_NO_RECONNECT` for `--no-reconnect`.
fn variable(arg: &Arg) -> String {
    format!("{PREFIX}{}", arg.get_long().unwrap_or_default().to_uppercase().replace('-', "_"))
}

/// The flag whose name looks most like `key`, if one does.
fn nearest<'a>(key: &str, run: &'a Command) -> Option<&'a Arg> {
    let likeness =
        |arg: &Arg| strsim::normalized_damerau_levenshtein(key, arg.get_long().unwrap_or_default());
    let alike = options(run).map(|arg| (likeness(arg), arg)).filter(|(likeness, _)| *likeness >= ALIKE);
    alike.max_by(|one, other| one.0.total_cmp(&other.0)).map(|(_, arg)| arg)
}

/// The file that was typed, or else that of the environment.
fn config_file(typed: &ArgMatches, variables: &[(String, OsString)]) -> Option<PathBuf> {
    let typed = typed.try_get_raw(CONFIG).ok().flatten().and_then(|mut values| values.next());
    let named = || {
        let (_, value) = variables.iter().find(|(name, _)| *name == format!("{PREFIX}CONFIG"))?;
        (!value.is_empty()).then(|| value.into())
    };
    typed.map(PathBuf::from).or_else(named)
}

#[cfg(test)]
mod tests;
