//! The file of `--config`: TOML, one line a flag.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use clap::{Arg, Command};
use toml::de::{DeInteger, DeTable, DeValue};

use super::error::{ConfigError, ConfigErrorKind, MAX_BYTES};
use super::flags::{CONFIG, nearest, options};
use super::setting::{Setting, Value};

/// Reads the settings of a file.
///
/// # Errors
/// The file cannot be read, is not TOML, or has a key or a kind of value that `run` does not know.
pub(super) fn read<'a>(path: &Path, run: &'a Command) -> Result<Vec<Setting<'a>>, ConfigError> {
    let name = path.display().to_string();
    let mut text = String::new();
    let opened = File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_string(&mut text));
    opened.map_err(|fault| ConfigError::new(&name, ConfigErrorKind::Io(fault)))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(ConfigError::new(&name, ConfigErrorKind::Size));
    }
    parse(&name, &text, run)
}

/// The settings in `text`, in its order, so that the first fault is the one that is reported.
pub(super) fn parse<'a>(name: &str, text: &str, run: &'a Command) -> Result<Vec<Setting<'a>>, ConfigError> {
    let place = |byte: usize| format!("{name}:{}", line(text, byte));
    let table = DeTable::parse(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        ConfigError::new(place(start), ConfigErrorKind::Syntax(error.message().to_owned()))
    })?;
    let mut entries: Vec<_> = table.get_ref().iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    let settings = entries.into_iter().map(|(key, value)| {
        let place = place(key.span().start);
        match option(key.get_ref(), run) {
            Ok(arg) => Setting::new(arg, place, of_toml(value.get_ref())),
            Err(kind) => Err(ConfigError::new(place, kind)),
        }
    });
    settings.collect()
}

fn option<'a>(key: &str, run: &'a Command) -> Result<&'a Arg, ConfigErrorKind> {
    if key == CONFIG {
        let fault = "a configuration file cannot name another one".into();
        return Err(ConfigErrorKind::Value { name: key.to_owned(), fault });
    }
    options(run).find(|arg| arg.get_long() == Some(key)).ok_or_else(|| {
        let nearest = nearest(key, run).and_then(Arg::get_long).map(str::to_owned);
        ConfigErrorKind::Unknown { name: key.to_owned(), nearest }
    })
}

/// The line of a byte, from 1.
fn line(text: &str, byte: usize) -> usize {
    1 + text.bytes().take(byte).filter(|byte| *byte == b'\n').count()
}

fn of_toml(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::Boolean(on) => Value::Switch(*on),
        DeValue::Array(items) => {
            let texts: Option<Vec<OsString>> = items.iter().map(|item| text(item.get_ref())).collect();
            texts.map_or(Value::Other("a list of lists, tables, dates or booleans"), Value::Many)
        }
        DeValue::Datetime(_) => Value::Other("a date"),
        DeValue::Table(_) => Value::Other("a table"),
        single => text(single).map_or(Value::Other("a number that is out of range"), Value::One),
    }
}

/// A text or a number as it would be typed.
fn text(value: &DeValue<'_>) -> Option<OsString> {
    match value {
        DeValue::String(text) => Some(OsString::from(&**text)),
        DeValue::Integer(number) => integer(number).map(OsString::from),
        DeValue::Float(number) => Some(number.as_str().into()),
        _ => None,
    }
}

fn integer(number: &DeInteger<'_>) -> Option<String> {
    i128::from_str_radix(number.as_str(), number.radix()).ok().map(|number| number.to_string())
}
