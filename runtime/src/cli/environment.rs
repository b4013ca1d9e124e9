//! The environment variables that the program reads. Nothing else of it looks at the environment, but for `PATH`, which
//! is searched for the programs that a source needs.

use std::env;
use std::ffi::OsString;
use std::time::Duration;

use comet_engine::run::{KernelError, Kernels, Options};

/// Begins the variables that stand for flags of `run`: `COMET_EDGE_MAX_FPS` for `--max-fps`.
pub(super) const PREFIX: &str = "COMET_EDGE_";
/// Forces the kernels of quantized models.
pub(super) const KERNEL: &str = "COMET_EDGE_KERNEL";
/// The socket of a service manager.
const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";
/// Microseconds after which the service manager gives up on a service that does not report.
const WATCHDOG_USEC: &str = "WATCHDOG_USEC";
/// The process that the service manager watches.
const WATCHDOG_PID: &str = "WATCHDOG_PID";
/// Where programs are searched for.
const SEARCH_PATH: &str = "PATH";

/// Variables with our prefix that do not stand for a flag. The last two are read by tests and reserved for them.
pub(super) const NOT_FLAGS: [&str; 3] = [KERNEL, "COMET_EDGE_LOG", "COMET_EDGE_LONG_TESTS"];

/// Every other variable that is read, and what it is for: the manual lists them.
pub(super) const VARIABLES: [(&str, &str); 6] = [
    ("COMET_EDGE_<FLAG>", "a flag of 'comet-edge run', such as COMET_EDGE_MAX_FPS=5 or COMET_EDGE_LIVE=true"),
    (KERNEL, "the kernels of quantized models: a name that 'comet-edge doctor' lists, or tract, or float"),
    (NOTIFY_SOCKET, "where a service manager (systemd) is notified; set by it"),
    (WATCHDOG_USEC, "how often the service manager expects a sign of life; set by it"),
    (WATCHDOG_PID, "the process that the service manager expects it from; set by it"),
    (SEARCH_PATH, "where ffmpeg and the programs of camera modules are searched for"),
];

/// Why a variable is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum EnvironmentError {
    /// The kernels are not those of this processor.
    #[error("{KERNEL}: {0}")]
    Kernels(KernelError),
    /// The value is not UTF-8.
    #[error("{KERNEL} is not valid text (UTF-8); unset it, or give the name of kernels")]
    NotText,
}

/// The kernels that are forced, or [`Kernels::Auto`].
pub(super) fn kernels() -> Result<Kernels, EnvironmentError> {
    kernels_named(env::var_os(KERNEL))
}

fn kernels_named(value: Option<OsString>) -> Result<Kernels, EnvironmentError> {
    // An empty variable is how units and containers unset one.
    let Some(value) = value.filter(|value| !value.is_empty()) else {
        return Ok(Kernels::Auto);
    };
    let name = value.to_str().ok_or(EnvironmentError::NotText)?;
    Kernels::named(name).map_err(EnvironmentError::Kernels)
}

/// How models are run: `threads` threads, and the kernels that are forced.
pub(super) fn engine(threads: usize) -> Result<Options, EnvironmentError> {
    Ok(Options { kernels: kernels()?, ..Options::threads(threads) })
}

/// All variables, of which those with [`PREFIX`] may be flags.
pub(super) fn all() -> impl Iterator<Item = (OsString, OsString)> {
    env::vars_os()
}

/// Whether a service manager wants to be notified.
pub(super) fn has_service_manager() -> bool {
    env::var_os(NOTIFY_SOCKET).is_some()
}

/// The time after which the service manager gives up on this very process, if it watches it.
pub(super) fn watchdog() -> Option<Duration> {
    let number = |name: &str| env::var(name).ok()?.parse::<u64>().ok();
    let is_own = match env::var_os(WATCHDOG_PID) {
        Some(_) => number(WATCHDOG_PID) == Some(u64::from(std::process::id())),
        None => true,
    };
    number(WATCHDOG_USEC).filter(|_| is_own).map(Duration::from_micros)
}

/// The folders in which programs are searched for.
pub(super) fn search_path() -> Option<OsString> {
    env::var_os(SEARCH_PATH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use comet_engine::run::Tier;

    #[test]
    fn kernels_are_forced_by_name_and_an_unknown_name_is_refused_with_the_variable() {
        let named = |name: &str| kernels_named(Some(name.into()));
        assert_eq!(kernels_named(None).unwrap(), Kernels::Auto);
        assert_eq!(named("").unwrap(), Kernels::Auto);
        assert_eq!(named("scalar").unwrap(), Kernels::Tier(Tier::Scalar));
        let fault = named("z80").unwrap_err().to_string();
        assert!(fault.contains(KERNEL) && fault.contains("z80") && fault.contains("scalar"), "{fault}");
    }

    #[test]
    #[cfg(unix)]
    fn a_value_that_is_not_text_is_refused() {
        use std::os::unix::ffi::OsStringExt;

        let fault = kernels_named(Some(OsString::from_vec(vec![0xff]))).unwrap_err();
        assert!(matches!(fault, EnvironmentError::NotText));
    }
}
