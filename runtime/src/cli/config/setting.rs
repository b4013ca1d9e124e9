//! One setting: a flag of `run`, and the words that would have set it.

use std::ffi::{OsStr, OsString};

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, Command};

use super::error::{ConfigError, ConfigErrorKind};

/// What a file or a variable gives to a flag.
#[derive(Debug)]
pub(super) enum Value {
    Switch(bool),
    One(OsString),
    Many(Vec<OsString>),
    /// What no flag takes, by its name.
    Other(&'static str),
}

impl Value {
    /// A variable has no types: `true` and `false` are switches where the flag is one.
    pub(super) fn of_variable(arg: &Arg, text: &OsStr) -> Self {
        let is_switch = !arg.get_action().takes_values();
        match text.to_str() {
            Some("true") if stands_alone(arg) => Self::Switch(true),
            Some("false") if stands_alone(arg) => Self::Switch(false),
            Some("1") if is_switch => Self::Switch(true),
            Some("0") if is_switch => Self::Switch(false),
            _ => Self::One(text.to_owned()),
        }
    }

    fn describe(&self) -> &'static str {
        match self {
            Self::Switch(_) => "a boolean",
            Self::One(_) => "a text or a number",
            Self::Many(_) => "a list",
            Self::Other(name) => name,
        }
    }
}

/// A flag that is set, or kept from being set.
#[derive(Debug)]
pub(super) struct Setting<'a> {
    arg: &'a Arg,
    /// Where it was found, for messages.
    place: String,
    is_on: bool,
    /// Empty for what was typed: it is there already.
    pub(super) words: Vec<OsString>,
}

impl<'a> Setting<'a> {
    /// A flag on the command line.
    pub(super) fn typed(arg: &'a Arg) -> Self {
        Self { arg, place: String::new(), is_on: true, words: Vec::new() }
    }

    /// `value` for `arg`, as it was found in `place`.
    ///
    /// # Errors
    /// The flag takes another kind of value. Whether it takes this very one is checked by [`Self::check`].
    pub(super) fn new(arg: &'a Arg, place: String, value: Value) -> Result<Self, ConfigError> {
        let name = arg.get_long().unwrap_or_default();
        let flag = format!("--{name}");
        let assign = |text: &OsStr| {
            let mut word = OsString::from(&flag);
            word.push("=");
            word.push(text);
            word
        };
        let words: Vec<OsString> = match &value {
            Value::Switch(on) if stands_alone(arg) => on.then(|| OsString::from(&flag)).into_iter().collect(),
            Value::One(text) if arg.get_action().takes_values() => vec![assign(text)],
            Value::Many(texts) if is_list(arg) => texts.iter().map(|text| assign(text)).collect(),
            other => {
                let (expected, found) = (expected(arg), other.describe());
                let kind = ConfigErrorKind::Type { name: name.to_owned(), expected, found };
                return Err(ConfigError::new(place, kind));
            }
        };
        Ok(Self { arg, place, is_on: !words.is_empty(), words })
    }

    /// Lets the parser check the value alone. Conflicts with other flags are found when all of them are parsed.
    ///
    /// # Errors
    /// The flag does not take the value.
    pub(super) fn check(&self, command: &Command, run: &Command) -> Result<(), ConfigError> {
        let names = [command.get_name(), run.get_name()].map(OsString::from);
        let words = names.iter().chain(&self.words);
        let Err(error) = command.clone().try_get_matches_from(words) else {
            return Ok(());
        };
        match error.kind() {
            ErrorKind::InvalidValue
            | ErrorKind::ValueValidation
            | ErrorKind::InvalidUtf8
            | ErrorKind::NoEquals
            | ErrorKind::TooFewValues
            | ErrorKind::TooManyValues
            | ErrorKind::WrongNumberOfValues => {
                let name = self.arg.get_long().unwrap_or_default().to_owned();
                let kind = ConfigErrorKind::Value { name, fault: first_paragraph(&error.to_string()) };
                Err(ConfigError::new(&self.place, kind))
            }
            _ => Ok(()),
        }
    }

    /// Whether this setting, which goes first, leaves no room for `other`.
    pub(super) fn excludes(&self, other: &Self, run: &Command) -> bool {
        let names = |arg: &Arg, other: &Arg| {
            run.get_arg_conflicts_with(arg).iter().any(|clashing| clashing.get_id() == other.get_id())
        };
        let same = self.arg.get_id() == other.arg.get_id();
        let clash = names(self.arg, other.arg)
            || names(other.arg, self.arg)
            || are_alternatives(self.arg, other.arg, run);
        same || (self.is_on && clash)
    }
}

/// Whether both are of a group of which only one can be given.
fn are_alternatives(one: &Arg, other: &Arg, run: &Command) -> bool {
    run.get_groups().any(|group| {
        let has = |arg: &Arg| group.get_args().any(|id| id == arg.get_id());
        has(one) && has(other) && !group.clone().is_multiple()
    })
}

/// Whether the flag can be given without a value.
fn stands_alone(arg: &Arg) -> bool {
    arg.get_num_args().is_some_and(|values| values.min_values() == 0)
}

fn is_list(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Append)
}

fn expected(arg: &Arg) -> String {
    if !arg.get_action().takes_values() {
        return "true or false".into();
    }
    let what = match (stands_alone(arg), is_list(arg)) {
        (true, _) => "true, false, a text or a number",
        (false, true) => "a text, a number or a list of them",
        (false, false) => "a text or a number",
    };
    format!("{what}, as for {arg}")
}

/// The parser's message without its frame, in one line.
fn first_paragraph(message: &str) -> String {
    let message = message.strip_prefix("error: ").unwrap_or(message);
    let paragraph = message.split("\n\n").next().unwrap_or_default();
    paragraph.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}
