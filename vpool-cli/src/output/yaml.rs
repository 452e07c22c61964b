//! JSON values as YAML.
//!
//! Owns: the block form of maps and lists. Does not own: scalars: those are written as in JSON,
//! which YAML 1.2 reads as the same, so that no word is ever taken for a number or a flag.

use serde_json::Value;

/// `value` as one document.
pub(crate) fn document(value: &Value) -> String {
    let mut text = String::new();
    block(value, 0, &mut text);
    text
}

/// Writes `value` from the start of a line that has `depth` levels in front already.
fn block(value: &Value, depth: usize, text: &mut String) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (number, (key, value)) in map.iter().enumerate() {
                indent(depth * usize::from(number > 0), text);
                text.push_str(&key_of(key));
                text.push(':');
                behind(value, depth, text);
            }
        }
        Value::Array(list) if !list.is_empty() => {
            for (number, value) in list.iter().enumerate() {
                indent(depth * usize::from(number > 0), text);
                text.push_str("- ");
                block(value, depth + 1, text);
            }
        }
        scalar => {
            text.push_str(&scalar.to_string());
            text.push('\n');
        }
    }
}

/// Writes `value` behind its key: in lines of its own if it has parts.
fn behind(value: &Value, depth: usize, text: &mut String) {
    let parts = match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(list) => !list.is_empty(),
        _ => false,
    };
    if parts {
        text.push('\n');
        indent(depth + 1, text);
        block(value, depth + 1, text);
    } else {
        text.push(' ');
        block(value, depth, text);
    }
}

fn indent(depth: usize, text: &mut String) {
    for _ in 0..depth {
        text.push_str("  ");
    }
}

/// Plain where no reader takes it for something else.
fn key_of(key: &str) -> String {
    const WORDS: [&str; 9] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];
    let simple = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    match !key.is_empty() && key.bytes().all(simple) && !WORDS.contains(&key) {
        true => key.to_owned(),
        false => Value::from(key).to_string(),
    }
}

#[cfg(test)]
mod tests {
    //! The form, for all kinds of values.

    use super::document;
    use serde_json::json;

    #[test]
    fn documents() {
        for (value, text) in [
            (json!(null), "null\n"),
            (json!([]), "[]\n"),
            (json!({}), "{}\n"),
            (json!("no"), "\"no\"\n"),
            (json!({"name": "1", "size": 1}), "name: \"1\"\nsize: 1\n"),
            (
                json!({"on": true, "a b": "ü"}),
                "\"a b\": \"ü\"\n\"on\": true\n",
            ),
            (
                json!({"location": {"kind": "fs", "path": "/a b: #c"}, "none": {}}),
                "location:\n  kind: \"fs\"\n  path: \"/a b: #c\"\nnone: {}\n",
            ),
            (
                json!({"items": [{"id": "1", "tags": ["x", "y"]}, [1, 2], []]}),
                "items:\n  - id: \"1\"\n    tags:\n      - \"x\"\n      - \"y\"\n  - - 1\n    - 2\n  - []\n",
            ),
        ] {
            assert_eq!(document(&value), text);
        }
    }
}
