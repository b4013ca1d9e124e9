//! For tests: whether every tag of a document is closed, in order.

/// Fails unless the tags of `document` balance, its attributes are quoted and its text has no stray `&`.
/// Void elements must be written as `<img />`.
pub(super) fn assert_well_formed(document: &str) {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = document;
    while let Some((text, after)) = rest.split_once('<') {
        assert!(!text.contains('>'), "a stray '>' in {text:?}");
        assert_entities(text);
        let (tag, after) = after.split_once('>').unwrap();
        rest = after;
        assert!(!tag.contains('<'), "a '<' inside <{tag}>");
        assert_eq!(tag.matches('"').count() % 2, 0, "an open quote in <{tag}>");
        assert_entities(tag);
        let name = tag.trim_start_matches('/').split([' ', '\n', '/']).next().unwrap_or_default();
        if tag.starts_with('!') || tag.starts_with('?') || tag.ends_with('/') {
            continue;
        }
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "</{name}> closes another tag");
        } else {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "never closed: {open:?}");
}

fn assert_entities(text: &str) {
    for (at, _) in text.match_indices('&') {
        let entity = text[at + 1..].split(';').next().unwrap_or_default();
        let known = ["amp", "lt", "gt", "quot", "#39"].contains(&entity);
        assert!(known, "a stray '&' in {text:?}");
    }
}
