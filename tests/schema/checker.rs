//! So much of JSON Schema as the config's own schema uses, and TOML as the JSON that an editor checks against it.
//!
//! A keyword that is not known here is an error: nothing in the schema can go unchecked.

use serde_json::{Map, Value};
use toml::de::{DeTable, DeValue};

/// A TOML document as JSON. What JSON has no word for, such as a date or `nan`, is null.
pub(crate) fn from_toml(text: &str) -> Result<Value, String> {
    let table = DeTable::parse(text).map_err(|error| error.to_string())?;
    Ok(object(table.get_ref()))
}

fn object(table: &DeTable<'_>) -> Value {
    table.iter().map(|(key, value)| (key.get_ref().to_string(), json_of(value.get_ref()))).collect::<Map<_, _>>().into()
}

fn json_of(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => text.as_ref().into(),
        DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix()).ok().into(),
        DeValue::Float(float) => float.as_str().parse::<f64>().ok().into(),
        DeValue::Boolean(switch) => (*switch).into(),
        DeValue::Datetime(_) => Value::Null,
        DeValue::Array(array) => array.iter().map(|element| json_of(element.get_ref())).collect(),
        DeValue::Table(table) => object(table),
    }
}

/// Whether a value keeps to a schema, or the first thing that does not.
pub(crate) fn check(schema: &Value, value: &Value) -> Result<(), String> {
    let schema = schema.as_object().ok_or("a schema is an object")?;
    schema.iter().try_for_each(|(keyword, asked)| match holds(schema, keyword, asked, value)? {
        true => Ok(()),
        false => Err(format!("{value} is not as {keyword} asks: {asked}")),
    })
}

fn holds(schema: &Map<String, Value>, keyword: &str, asked: &Value, value: &Value) -> Result<bool, String> {
    let (text, number, array, object) = (value.as_str(), value.as_f64(), value.as_array(), value.as_object());
    let length = |text: &str| text.chars().count() as u64;
    Ok(match keyword {
        "$schema" | "title" | "description" | "default" | "examples" => true,
        "type" => is_type(asked.as_str().unwrap_or_default(), value)?,
        "const" => value == asked,
        "enum" => asked.as_array().is_some_and(|all| all.contains(value)),
        "not" => check(asked, value).is_err(),
        "anyOf" => asked.as_array().is_some_and(|all| all.iter().any(|schema| check(schema, value).is_ok())),
        "minimum" => number.is_none_or(|number| asked.as_f64().is_some_and(|min| number >= min)),
        "maximum" => number.is_none_or(|number| asked.as_f64().is_some_and(|max| number <= max)),
        "minLength" => text.is_none_or(|text| asked.as_u64().is_some_and(|min| length(text) >= min)),
        "maxLength" => text.is_none_or(|text| asked.as_u64().is_some_and(|max| length(text) <= max)),
        "pattern" => text.is_none_or(|text| matches(asked.as_str().unwrap_or_default(), text)),
        "minItems" => array.is_none_or(|array| asked.as_u64().is_some_and(|min| array.len() as u64 >= min)),
        "items" => array.is_none_or(|array| items(asked, schema.get("additionalItems"), array)),
        "required" => object.is_none_or(|object| {
            asked
                .as_array()
                .is_some_and(|names| names.iter().filter_map(Value::as_str).all(|name| object.contains_key(name)))
        }),
        "propertyNames" => {
            object.is_none_or(|object| object.keys().all(|key| check(asked, &key.as_str().into()).is_ok()))
        }
        "properties" => object.is_none_or(|object| {
            asked.as_object().is_some_and(|known| {
                object.iter().all(|(key, value)| known.get(key).is_none_or(|schema| check(schema, value).is_ok()))
            })
        }),
        "additionalProperties" => object.is_none_or(|object| {
            let is_known = |key: &str| schema.get("properties").is_some_and(|known| known.get(key).is_some());
            object.iter().filter(|(key, _)| !is_known(key)).all(|(_, value)| is_allowed(asked, value))
        }),
        // Looked at with `items`.
        "additionalItems" => schema.contains_key("items"),
        other => return Err(format!("unknown keyword {other}")),
    })
}

fn is_type(name: &str, value: &Value) -> Result<bool, String> {
    Ok(match name {
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => return Err(format!("unknown type {other}")),
    })
}

/// One schema for all, or one for each of the first and another for the rest.
fn items(asked: &Value, additional: Option<&Value>, array: &[Value]) -> bool {
    match asked.as_array() {
        None => array.iter().all(|element| check(asked, element).is_ok()),
        Some(first) => array.iter().enumerate().all(|(at, element)| match first.get(at) {
            Some(schema) => check(schema, element).is_ok(),
            None => additional.is_none_or(|schema| is_allowed(schema, element)),
        }),
    }
}

fn is_allowed(schema: &Value, value: &Value) -> bool {
    schema.as_bool().unwrap_or_else(|| check(schema, value).is_ok())
}

/// Regular expressions of one form: `^`, characters and classes, each once, or `+` or `*` times where no other that
/// follows could take the same character, `$`.
fn matches(pattern: &str, text: &str) -> bool {
    let mut rest = pattern.strip_prefix('^').and_then(|rest| rest.strip_suffix('$')).expect("an anchored pattern");
    let mut text = text;
    while !rest.is_empty() {
        let (class, behind) = match rest.strip_prefix('[') {
            None => rest.split_at(1),
            Some(class) => {
                let end = (1..class.len()).find(|&at| class[at..].starts_with(']') && !class[..at].ends_with('\\'));
                let end = end.expect("a class that is closed");
                (&class[..end], &class[end + 1..])
            }
        };
        let taken = text.chars().take_while(|character| is_in(class, *character)).map(char::len_utf8);
        let (min, max) = match behind.chars().next() {
            Some('+') => (1, usize::MAX),
            Some('*') => (0, usize::MAX),
            _ => (1, 1),
        };
        rest = behind.trim_start_matches(['+', '*']);
        let taken: Vec<usize> = taken.take(max).collect();
        if taken.len() < min {
            return false;
        }
        text = &text[taken.iter().sum()..];
    }
    text.is_empty()
}

fn is_in(class: &str, character: char) -> bool {
    let (class, negated) = class.strip_prefix('^').map_or((class, false), |class| (class, true));
    let members: Vec<char> = class.chars().filter(|member| *member != '\\').collect();
    let is_range = |at: usize| at > 0 && at + 1 < members.len() && members[at] == '-';
    let found = (0..members.len()).any(|at| match is_range(at) {
        true => (members[at - 1]..=members[at + 1]).contains(&character),
        false => members[at] == character,
    });
    found != negated
}

#[test]
fn patterns_match_what_they_say() {
    for (pattern, right, wrong) in [
        ("^[a-c_-][.x]*$", &["a", "-", "_.x."][..], &["", "d", ".", "a-"][..]),
        ("^/[!-~]*$", &["/", "/a~!"], &["", "a", "/ä", "/ "]),
        ("^[^=]+$", &["a", "ä b"], &["", "a=b"]),
        ("^[0-9\\[\\]]+$", &["[1]", "9"], &["", "a", "\\"]),
    ] {
        assert!(right.iter().all(|text| matches(pattern, text)), "{pattern}");
        assert!(!wrong.iter().any(|text| matches(pattern, text)), "{pattern}");
    }
}

#[test]
fn each_keyword_refuses_something() {
    use serde_json::json;
    for (schema, right, wrong) in [
        (json!({ "type": "integer", "minimum": 1, "maximum": 2 }), json!(2), vec![json!(0), json!(3), json!(1.5)]),
        (json!({ "anyOf": [{ "const": 0 }, { "minimum": 9 }] }), json!(9), vec![json!(1)]),
        (json!({ "minLength": 1, "maxLength": 2, "not": { "enum": ["b"] } }), json!("ä"), vec![json!(""), json!("b")]),
        (
            json!({ "items": [{ "type": "string" }], "additionalItems": false, "minItems": 1 }),
            json!(["a"]),
            vec![json!([]), json!([1]), json!(["a", "b"])],
        ),
        (
            json!({
                "required": ["a"],
                "properties": { "a": { "type": "boolean" } },
                "additionalProperties": { "type": "number" },
                "propertyNames": { "pattern": "^[a-z]+$" },
            }),
            json!({ "a": true, "b": 1.5 }),
            vec![json!({}), json!({ "a": 1 }), json!({ "a": true, "b": "" }), json!({ "a": true, "B": 1 })],
        ),
    ] {
        assert_eq!(check(&schema, &right), Ok(()));
        assert!(wrong.iter().all(|value| check(&schema, value).is_err()), "{schema}");
    }
    assert!(check(&json!({ "oneOf": [] }), &json!(1)).is_err_and(|error| error.contains("unknown keyword")));
}
