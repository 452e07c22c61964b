//! The document as it follows from the routes, compared with the committed one.
//!
//! Owns: what holds for all paths: problems, dry runs, keys, lists, the token. Does not own: what is
//! said of each.

use serde_json::{Value, json};
use vpool_api::limits::{KEY_CHARS_MAX, PAGE_ITEMS, PAGE_ITEMS_MAX};
use vpool_api::{Disk, DiskStatistics, Pool, Task};

use super::super::BASE;
use super::super::list::Row;

/// The document of the routes, with what holds for all of them.
fn made() -> Value {
    let (_, document) = super::super::documented().split_for_parts();
    let mut document = serde_json::to_value(document).expect("it is plain data");
    document["components"]["securitySchemes"] = json!({
        "token": {"type": "http", "scheme": "bearer",
            "description": "Over TCP; the unix socket needs none, and TLS a certificate instead"},
        "certificate": {"type": "mutualTLS",
            "description": "A client's certificate, where the daemon listens with TLS"}
    });
    document["security"] = json!([{"token": []}, {"certificate": []}]);
    // With `fields=` they carry only what was asked for.
    let schemas = document["components"]["schemas"].as_object_mut();
    for (name, schema) in schemas.expect("there are types") {
        if let Some(item) = schema.pointer_mut("/properties/items/items")
            && name.starts_with("List_")
        {
            item.as_object_mut()
                .expect("it is a type")
                .remove("required");
        }
    }
    let paths = document["paths"].as_object_mut().expect("there are paths");
    for (path, operations) in paths {
        for (method, operation) in operations.as_object_mut().expect("there are methods") {
            complete(path, method, operation);
        }
    }
    document
}

/// Adds to one request what holds for all.
fn complete(path: &str, method: &str, operation: &mut Value) {
    let mut more = Vec::new();
    for part in path.split('/') {
        if let Some(name) = part
            .strip_prefix('{')
            .and_then(|part| part.strip_suffix('}'))
        {
            more.push(json!({"name": name, "in": "path", "required": true,
                "schema": {"type": if name == "id" { "integer" } else { "string" }}}));
        }
    }
    if method != "get" {
        more.push(
            json!({"name": "dry_run", "in": "query", "schema": {"type": "boolean"},
            "description": "Check and say what would change (200, DryRun), and do nothing"}),
        );
        more.push(json!({"name": "Idempotency-Key", "in": "header",
            "schema": {"type": "string", "minLength": 1, "maxLength": KEY_CHARS_MAX,
                "pattern": "^[ -~]+$"},
            "description": "The same request with the same key within a day is answered the same, \
                and carried out once"}));
        plan(&mut operation["responses"]);
    }
    let list = match path.strip_prefix(BASE) {
        Some("/pools") if method == "get" => list::<Pool>(),
        Some("/disks") if method == "get" => list::<Disk>(),
        Some("/tasks") if method == "get" => list::<Task>(),
        Some("/statistics/disks") if method == "get" => list::<DiskStatistics>(),
        _ => Vec::new(),
    };
    more.extend(list);
    let own = operation.get_mut("parameters").map(Value::take);
    if let Some(Value::Array(own)) = own {
        more.splice(0..0, own);
    }
    operation["parameters"] = Value::Array(more);
    // The functions' names are not told apart.
    operation["operationId"] = Value::String(id(path, method));
    operation["responses"]["default"] = json!({"description": "It failed",
        "content": {"application/problem+json":
            {"schema": {"$ref": "#/components/schemas/Problem"}}}});
}

/// `get_disks_disk_connection`.
fn id(path: &str, method: &str) -> String {
    let parts = path.strip_prefix(BASE).unwrap_or(path).split('/');
    let words = parts.map(|part| part.trim_matches(['{', '}']).replace('.', "_"));
    let words: Vec<String> = words.filter(|word| !word.is_empty()).collect();
    format!("{method}_{}", words.join("_"))
}

/// A dry run is an answer too.
fn plan(responses: &mut Value) {
    let plan = json!({"$ref": "#/components/schemas/DryRun"});
    let done = responses["200"]["content"]["application/json"]["schema"].clone();
    let schema = match done {
        Value::Null => plan,
        done => json!({"oneOf": [done, plan]}),
    };
    let done = responses["200"]["description"].as_str().unwrap_or_default();
    let description = match done {
        "" => "What would be done".to_owned(),
        done => format!("{done}; or what would be done"),
    };
    responses["200"] = json!({"description": description,
        "content": {"application/json": {"schema": schema}}});
}

/// The parameters of a list.
fn list<T: Row>() -> Vec<Value> {
    let keys: Vec<&str> = T::KEYS.iter().map(|key| key.name).collect();
    let orders: Vec<String> = keys
        .iter()
        .flat_map(|key| [(*key).to_owned(), format!("-{key}")])
        .collect();
    let fields = T::FIELDS.join(", ");
    let text = json!({"type": "string"});
    let parameter = |name: &str, schema: Value, description: String| json!({"name": name, "in": "query", "schema": schema, "description": description});
    vec![
        parameter(
            "limit",
            json!({"type": "integer", "minimum": 1, "maximum": PAGE_ITEMS_MAX,
                "default": PAGE_ITEMS}),
            "Items of a page".to_owned(),
        ),
        parameter(
            "after",
            text.clone(),
            "`next` of the page before".to_owned(),
        ),
        parameter(
            "sort",
            json!({"type": "string", "enum": orders, "default": keys[0]}),
            "What it is sorted by; with - in front the largest first".to_owned(),
        ),
        parameter(
            "filter",
            json!({"type": "array", "items": text}),
            format!(
                "FIELD=VALUE or FIELD~PART, all of which must hold; fields are {}",
                keys.join(", ")
            ),
        ),
        parameter(
            "fields",
            text,
            format!("The fields that items carry, with commas between; of {fields}"),
        ),
    ]
}

mod tests {
    //! The committed document is that of the routes.

    use super::super::COMMITTED;
    use super::made;

    /// Set, it writes the document.
    const WRITE: &str = "VPOOL_WRITE_OPENAPI";

    #[test]
    fn the_document_is_that_of_the_routes() {
        let mut text = serde_json::to_string_pretty(&made()).expect("it is plain data");
        text.push('\n');
        let package = std::env::var("CARGO_MANIFEST_DIR").expect("cargo runs the tests");
        let path = format!("{package}/openapi.json");
        if std::env::var_os(WRITE).is_some() {
            std::fs::write(&path, &text).expect("it is writable");
            return;
        }
        assert!(
            text == COMMITTED,
            "openapi.json is not that of the routes any more. Write it anew, and look at what \
             changed:\n    {WRITE}=1 cargo test -p vpoold the_document && git diff {path}"
        );
    }

    #[test]
    fn what_is_referred_to_is_there() {
        let document = made();
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(!found.is_empty());
        for reference in found {
            let pointer = reference.trim_start_matches('#');
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }

    fn references(value: &serde_json::Value, found: &mut Vec<String>) {
        match value {
            serde_json::Value::Object(members) => {
                for (name, member) in members {
                    match member.as_str() {
                        Some(text) if name == "$ref" => found.push(text.to_owned()),
                        _ => references(member, found),
                    }
                }
            }
            serde_json::Value::Array(items) => {
                for item in items {
                    references(item, found);
                }
            }
            _ => {}
        }
    }
}
