//! One check: its outcome, and the fix where there is a fault.

use serde::Serialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    Ok,
    Warn,
    Fail,
}

#[derive(Debug, Serialize)]
pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) status: Status,
    pub(super) detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fix: Option<&'static str>,
}

impl Check {
    pub(super) fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self::new(name, Status::Ok, detail, None)
    }

    pub(super) fn warn(name: &'static str, detail: impl Into<String>, fix: &'static str) -> Self {
        Self::new(name, Status::Warn, detail, Some(fix))
    }

    pub(super) fn fail(name: &'static str, detail: impl Into<String>, fix: &'static str) -> Self {
        Self::new(name, Status::Fail, detail, Some(fix))
    }

    fn new(name: &'static str, status: Status, detail: impl Into<String>, fix: Option<&'static str>) -> Self {
        Self { name, status, detail: detail.into(), fix }
    }
}

/// A check as a line, with its fix on the next one.
pub(super) fn line(check: &Check) -> String {
    let status = match check.status {
        Status::Ok => "ok  ",
        Status::Warn => "warn",
        Status::Fail => "fail",
    };
    // Names come from devices and files: a control character must not reach a terminal.
    let detail: String = check.detail.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    let fix = check.fix.map(|fix| format!("\n      fix: {fix}")).unwrap_or_default();
    format!("{status}  {}: {detail}{fix}", check.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_its_fix_and_nothing_that_commands_a_terminal() {
        let check = Check::warn("camera", "a \u{1b}[2J b", "plug it in");
        assert_eq!(line(&check), "warn  camera: a ?[2J b\n      fix: plug it in");
        assert_eq!(line(&Check::ok("memory", "9 MiB")), "ok    memory: 9 MiB");
    }
}
