//! Numbers that a file may hold: `{ file = …, array = … }` in their place.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

/// The tables of a run whose numbers may be in files.
pub const OF_RUNS: [&str; 1] = ["model"];

/// The tables of an experiment whose numbers may be in files.
pub const OF_EXPERIMENTS: [&str; 9] = [
    "unit",
    "population",
    "circuit",
    "system",
    "connectivity",
    "bold",
    "network",
    "composite",
    "stimulus",
];

const NAME: &str = "NumbersInFile";

/// Lets every list and matrix of numbers below these tables be in a file.
pub(super) fn add(root: &mut Value, tables: &[&str]) {
    let mut definitions = match root.pointer_mut("/$defs") {
        Some(Value::Object(definitions)) => std::mem::take(definitions),
        _ => Map::new(),
    };
    let mut waiting = Vec::new();
    // Of definitions that both these and other tables have, the others keep theirs.
    let known = definitions.clone();
    if let Some(Value::Object(properties)) = root.get_mut("properties") {
        for (name, table) in properties {
            if tables.contains(&name.as_str()) {
                walk(table, &known, &mut waiting);
            }
        }
    }
    let mut seen = BTreeSet::new();
    while let Some(name) = waiting.pop() {
        if seen.insert(name.clone())
            && let Some(definition) = definitions.get_mut(&name)
        {
            walk(definition, &known, &mut waiting);
        }
    }
    definitions.insert(
        NAME.into(),
        json!({
            "type": "object",
            "description": "Numbers of a file: .npy, .npz or .csv.",
            "form": "{ file = \"FILE\" }",
            "properties": {
                "file": {
                    "type": "string",
                    "description": "The .npy, .npz or .csv file, from the folder of the configuration.",
                },
                "array": {
                    "type": "string",
                    "description": "Which array of an .npz file, or column of a .csv file.",
                },
            },
            "required": ["file"],
            "additionalProperties": false,
        }),
    );
    if let Some(object) = root.as_object_mut() {
        object.insert("$defs".into(), definitions.into());
    }
}

/// Goes through all keys of a schema; what it refers to waits.
fn walk(schema: &mut Value, definitions: &Map<String, Value>, waiting: &mut Vec<String>) {
    match schema {
        Value::Array(list) => {
            for inner in list {
                walk(inner, definitions, waiting);
            }
        }
        Value::Object(object) => {
            let name = object.get("$ref").and_then(Value::as_str);
            waiting.extend(name.and_then(definition).map(str::to_owned));
            for (word, inner) in object.iter_mut() {
                match (word.as_str(), inner) {
                    ("properties", Value::Object(properties)) => {
                        for property in properties.values_mut() {
                            key(property, definitions, waiting);
                        }
                    }
                    ("additionalProperties", inner) => key(inner, definitions, waiting),
                    ("default" | "enum" | "const" | "examples", _) => {}
                    (_, inner) => walk(inner, definitions, waiting),
                }
            }
        }
        _ => {}
    }
}

/// Adds the file to what a key may be, if it may be a list of numbers; else goes through what it is.
fn key(schema: &mut Value, definitions: &Map<String, Value>, waiting: &mut Vec<String>) {
    if !takes_list(schema, definitions) {
        return walk(schema, definitions, waiting);
    }
    let Value::Object(object) = schema else {
        return;
    };
    let file = json!({ "$ref": format!("#/$defs/{NAME}") });
    if let Some(Value::Array(options)) = object.get_mut("anyOf") {
        return options.push(file);
    }
    // What says of which type it is becomes one option of two; help, default, range and unit stay where they are.
    let of_type = ["$ref", "type", "items", "minItems", "maxItems"];
    let own: Map<String, Value> = of_type
        .into_iter()
        .filter_map(|word| Some((word.to_owned(), object.remove(word)?)))
        .collect();
    object.insert("anyOf".into(), json!([own, file]));
}

/// Whether a value may be a list of numbers of any length, or a list of such lists.
fn takes_list(schema: &Value, definitions: &Map<String, Value>) -> bool {
    let name = schema.get("$ref").and_then(Value::as_str);
    if let Some(inner) = name
        .and_then(definition)
        .and_then(|name| definitions.get(name))
    {
        return takes_list(inner, definitions);
    }
    if let Some(Value::Array(options)) = schema.get("anyOf") {
        return options.iter().any(|option| takes_list(option, definitions));
    }
    let fixed =
        schema.get("minItems").is_some() && schema.get("minItems") == schema.get("maxItems");
    let Some(items) = schema.get("items").filter(|_| !fixed) else {
        return false;
    };
    items.get("type").is_some_and(|name| name == "number") || takes_list(items, definitions)
}

fn definition(place: &str) -> Option<&str> {
    place.strip_prefix("#/$defs/")
}
