//! Names from files and models, made safe for terminals and images.

/// `text` with every sign escaped that could break a line, steer a terminal, or reverse the direction of reading.
pub(crate) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for sign in text.chars() {
        if is_harmful(sign) { shown.extend(sign.escape_default()) } else { shown.push(sign) }
    }
    shown
}

fn is_harmful(sign: char) -> bool {
    sign.is_control()
        || matches!(
            sign,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped_and_letters_of_all_scripts_stay() {
        assert_eq!(printable("two\nlines\r\t"), "two\\nlines\\r\\t");
        assert_eq!(printable("\u{1b}[2J\u{7}\u{9b}"), "\\u{1b}[2J\\u{7}\\u{9b}");
        assert_eq!(printable("a\u{202e}gpj.exe\u{2028}"), "a\\u{202e}gpj.exe\\u{2028}");
        assert_eq!(printable("Größe 手 \\ 'x'"), "Größe 手 \\ 'x'");
    }
}
