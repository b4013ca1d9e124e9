//! What to do with a trained run, as commands that can be copied.

use std::path::Path;

/// The commands after a finished run: measure, export, run on a board.
pub(super) fn next_steps(run: &Path, data: &Path, scenes: Option<&Path>) -> String {
    let name = run.file_name().map_or_else(|| "model".into(), |name| name.to_string_lossy());
    let model = format!("{name}.int8.onnx");
    let (report, model) = (word(&run.join("report.html")), word(Path::new(&model)));
    let (run, data) = (word(run), word(data));
    let scenes = scenes.map(|folder| format!(" --scenes {}", word(folder))).unwrap_or_default();
    format!(
        "next:
  trainer eval {run} --data {data}{scenes} --split val --report {report}
  trainer export {run} --data {data}{scenes} --quantize -o {model}
  comet-edge run --camera 0 --model {model}"
    )
}

/// The command that continues a run.
pub(super) fn continue_command(run: &Path, data: &Path) -> String {
    format!("trainer train --data {} --out {} --resume", word(data), word(run))
}

/// A path as one word of a shell's command line.
fn word(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |letter: char| letter.is_alphanumeric() || "/._-+,:@%".contains(letter);
    if !text.is_empty() && !text.starts_with('-') && text.chars().all(is_plain) {
        return text;
    }
    // A word that starts with a dash would be taken for a flag.
    let text = if text.starts_with('-') { format!("./{text}") } else { text };
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_are_complete() {
        let text = next_steps(Path::new("runs/photos"), Path::new("photos"), None);
        let expected = "next:
  trainer eval runs/photos --data photos --split val --report runs/photos/report.html
  trainer export runs/photos --data photos --quantize -o photos.int8.onnx
  comet-edge run --camera 0 --model photos.int8.onnx";
        assert_eq!(text, expected);
    }

    #[test]
    fn paths_with_blanks_and_quotes_are_one_word() {
        let run = Path::new("my runs/o'clock");
        let text = next_steps(run, Path::new("-photos"), Some(Path::new("my scenes")));
        for part in [
            r"eval 'my runs/o'\''clock' --data './-photos' --scenes 'my scenes' ",
            r"--report 'my runs/o'\''clock/report.html'",
            r"-o 'o'\''clock.int8.onnx'",
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        let expected = r"trainer train --data photos --out 'my runs/o'\''clock' --resume";
        assert_eq!(continue_command(run, Path::new("photos")), expected);
    }
}
