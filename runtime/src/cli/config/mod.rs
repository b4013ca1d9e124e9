//! Settings of `run` from the environment and from a file, turned into the words that could have been typed.
//!
//! The flags are the only definition of names, types and limits: `--fps 15` is `fps = 15` in the file and
//! `COMET_EDGE_FPS=15` in the environment. Typed options take precedence over the environment, and the environment over
//! the file; a setting that takes precedence also replaces those that it conflicts with.

mod error;
mod file;
mod flags;
mod setting;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgMatches, Command};

use super::environment::{NOT_FLAGS, PREFIX};
pub(super) use error::ConfigError;
use error::ConfigErrorKind;
use flags::{CONFIG, is_typed, nearest, options, variable};
use setting::{Setting, Value};

/// The command that has settings.
const RUN: &str = "run";

/// The typed `args` (the program's name first), with the settings of `env` and of the file inserted behind `run`.
///
/// Arguments of other commands, and requests for help, are returned as they are.
///
/// # Errors
/// A variable or a line of the file is not understood.
pub(super) fn expand(
    mut args: Vec<OsString>,
    env: impl Iterator<Item = (OsString, OsString)>,
    command: &Command,
) -> Result<Vec<OsString>, ConfigError> {
    // Faults of what was typed are reported by the parser, which gets these words afterwards.
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

/// Our variables, by name.
fn variables(env: impl Iterator<Item = (OsString, OsString)>) -> Vec<(String, OsString)> {
    let ours = |(name, value): (OsString, OsString)| {
        let name = name.into_string().ok()?;
        let is_setting = name.starts_with(PREFIX) && !NOT_FLAGS.contains(&name.as_str());
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
        // An empty variable is how units and containers unset one.
        if !value.is_empty() {
            settings.push(Setting::new(arg, name.clone(), Value::of_variable(arg, value))?);
        }
    }
    Ok(settings)
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
