//! The order of keys, which `serde_json::Value` forgets.

/// The keys of the outermost object of valid JSON, in the order in which they stand.
pub fn top_level_keys(json: &str) -> Vec<String> {
    let mut keys = Vec::new();
    let mut depth = 0usize;
    let mut text = String::new();
    let (mut inside, mut escaped) = (false, false);
    for character in json.chars() {
        match character {
            _ if escaped => {
                text.push(character);
                escaped = false;
            }
            '\\' if inside => escaped = true,
            '"' => {
                inside = !inside;
                if inside {
                    text.clear();
                }
            }
            _ if inside => text.push(character),
            '{' | '[' => depth += 1,
            '}' | ']' => depth = depth.saturating_sub(1),
            // Outside of strings a colon follows a key and nothing else.
            ':' if depth == 1 => keys.push(text.clone()),
            _ => {}
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_outer_keys_are_given_in_their_order() {
        let json = r#"{"b": {"x": 1}, "a": ["c", {"d": ":"}], "e\"": "f: {", "g": null}"#;
        assert_eq!(top_level_keys(json), ["b", "a", "e\"", "g"]);
    }
}
