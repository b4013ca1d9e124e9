//! Settings of a small command: the rules do not depend on which flags there are.

use std::ffi::OsString;

use clap::{Arg, ArgAction, ArgGroup, Command, value_parser};

use super::expand;

fn command() -> Command {
    let fps = Arg::new("fps").long("fps").value_parser(value_parser!(u32).range(1..=60)).default_value("30");
    let run = Command::new("run")
        .arg(Arg::new("config").long("config"))
        .arg(Arg::new("camera").long("camera").value_parser(value_parser!(u32)).conflicts_with("source"))
        .arg(Arg::new("source").long("source"))
        .arg(fps)
        .arg(Arg::new("live").long("live").action(ArgAction::SetTrue))
        .arg(Arg::new("no_reconnect").long("no-reconnect").action(ArgAction::SetTrue))
        .arg(Arg::new("http").long("http").num_args(0..=1))
        .arg(Arg::new("tag").long("tag").action(ArgAction::Append))
        .arg(Arg::new("left").long("left").action(ArgAction::SetTrue))
        .arg(Arg::new("right").long("right").action(ArgAction::SetTrue))
        .group(ArgGroup::new("side").args(["left", "right"]));
    Command::new("comet-edge").subcommand(run).subcommand(Command::new("predict"))
}

/// What becomes of a command line, with a file if `toml` is not empty, and with variables.
fn expanded(toml: &str, env: &[(&str, &str)], line: &str) -> Result<String, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.toml");
    std::fs::write(&file, toml).unwrap();
    let mut args: Vec<OsString> = line.split(' ').map(OsString::from).collect();
    if !toml.is_empty() {
        args.extend(["--config".into(), file.clone().into()]);
    }
    let env = env.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let words = expand(args, env, &command());
    let words = words.map_err(|error| error.to_string().replace(&file.display().to_string(), "c.toml"))?;
    // The parser has the last word on everything that is expanded.
    let parsed = command().try_get_matches_from(&words);
    parsed.map_err(|error| error.to_string())?;
    let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
    let line = words.join(" ").replace(&format!(" --config {}", file.display()), "");
    Ok(line)
}

#[test]
fn a_file_stands_for_the_words_that_it_spares() {
    let toml = "# a comment\nfps = 0x0F\nlive = true\nno-reconnect = false\nsource = \"-\"\n\
                http = \"0.0.0.0:80\"\ntag = [\"a b\", 3]\n";
    let words = expanded(toml, &[], "comet-edge run").unwrap();
    let expected = "comet-edge run --fps=15 --live --source=- --http=0.0.0.0:80 --tag=a b --tag=3";
    assert_eq!(words, expected);
    assert_eq!(expanded("http = true\n", &[], "comet-edge run").unwrap(), "comet-edge run --http");
}

#[test]
fn typed_options_take_precedence_over_the_environment_and_the_environment_over_the_file() {
    let toml = "fps = 10\nlive = true\ntag = \"file\"\n";
    let env = [("COMET_EDGE_FPS", "20"), ("COMET_EDGE_LIVE", "0"), ("COMET_EDGE_TAG", "")];
    assert_eq!(expanded(toml, &env, "comet-edge run").unwrap(), "comet-edge run --fps=20 --tag=file");
    let typed = expanded(toml, &env, "comet-edge run --fps 30").unwrap();
    assert_eq!(typed, "comet-edge run --tag=file --fps 30");
    let typed = expanded(toml, &[], "comet-edge run --fps=31").unwrap();
    assert_eq!(typed, "comet-edge run --live --tag=file --fps=31");
}

#[test]
fn a_setting_that_goes_first_drops_what_it_cannot_stand_beside() {
    let words = expanded("camera = 7\nfps = 5\n", &[], "comet-edge run --source x").unwrap();
    assert_eq!(words, "comet-edge run --fps=5 --source x");
    // The flag that names the clash may be on either side.
    let words = expanded("source = 'x'\n", &[("COMET_EDGE_CAMERA", "1")], "comet-edge run").unwrap();
    assert_eq!(words, "comet-edge run --camera=1");
    let words = expanded("left = true\n", &[], "comet-edge run --right").unwrap();
    assert_eq!(words, "comet-edge run --right");
    let error = expanded("source = 'x'\ncamera = 1\n", &[], "comet-edge run").unwrap_err();
    assert!(error.contains("cannot be used with"), "two lines of a file clash: {error}");
}

#[test]
fn a_fault_of_the_file_is_reported_with_its_line_and_what_was_expected() {
    let cases = [
        ("fps = 10\n\nsorce = 'x'\n", &["c.toml:3:", "'sorce'", "did you mean 'source'?"][..]),
        ("zzz = 1\n", &["c.toml:1:", "'zzz' is not a setting", "run --help"]),
        ("\nlive = 'yes'\n", &["c.toml:2:", "'live' must be true or false, not a text or a number"]),
        ("fps = true\n", &["c.toml:1:", "'fps' must be a text or a number", "--fps", "not a boolean"]),
        ("fps = [1, 2]\n", &["c.toml:1:", "'fps' must be a text or a number", "not a list"]),
        ("tag = [[1]]\n", &["c.toml:1:", "'tag' must be", "a list of lists"]),
        ("[camera]\nfps = 1\n", &["c.toml:1:", "'camera' must be", "not a table"]),
        ("live = true\nfps = 0\n", &["c.toml:2:", "'fps'", "1..=60"]),
        ("fps = 'fast'\n", &["c.toml:1:", "'fps'", "invalid digit"]),
        ("live = true\nfps =\n", &["c.toml:2:", "cannot be understood"]),
        ("live = true\nlive = false\n", &["c.toml:2:", "cannot be understood"]),
        ("config = 'other.toml'\n", &["c.toml:1:", "cannot name another one"]),
        ("help = true\n", &["c.toml:1:", "'help' is not a setting"]),
    ];
    for (toml, parts) in cases {
        let error = expanded(toml, &[], "comet-edge run").unwrap_err();
        assert!(parts.iter().all(|part| error.contains(part)), "{toml:?}: {error}");
    }
}

#[test]
fn a_fault_of_the_environment_names_the_variable() {
    let cases = [
        (("COMET_EDGE_FSP", "10"), &["'COMET_EDGE_FSP' is not a setting", "'COMET_EDGE_FPS'"][..]),
        (("COMET_EDGE_NORECONNECT", "1"), &["did you mean 'COMET_EDGE_NO_RECONNECT'?"]),
        (("COMET_EDGE_LIVE", "maybe"), &["COMET_EDGE_LIVE:", "true or false"]),
        (("COMET_EDGE_FPS", "61"), &["COMET_EDGE_FPS:", "1..=60"]),
        (("COMET_EDGE_CONFIG", "/no/such.toml"), &["/no/such.toml: cannot be read", "--config"]),
    ];
    for (variable, parts) in cases {
        let error = expanded("", &[variable], "comet-edge run").unwrap_err();
        assert!(parts.iter().all(|part| error.contains(part)), "{variable:?}: {error}");
    }
    let others = [("COMET_EDGE_KERNEL", "scalar"), ("COMET_EDGE_LOG", "x"), ("COMET", "y")];
    assert_eq!(expanded("", &others, "comet-edge run").unwrap(), "comet-edge run");
}

#[test]
fn other_commands_help_and_faults_of_what_was_typed_are_left_to_the_parser() {
    let env: [(OsString, OsString); 1] = [("COMET_EDGE_FSP".into(), "10".into())];
    for line in ["comet-edge", "comet-edge predict", "comet-edge run --help", "comet-edge nonsense"] {
        let args: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let words = expand(args.clone(), env.clone().into_iter(), &command()).unwrap();
        assert_eq!(words, args, "{line}");
    }
    let error = expanded("fps = 10\n", &[], "comet-edge run --frobnicate").unwrap_err();
    assert!(error.contains("--frobnicate"), "{error}");
}
