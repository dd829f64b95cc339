//! JSON held against a schema of the API's description: the part of JSON Schema 2020-12 that the description uses.

use serde_json::{Map, Value};

/// Where and why `value` is not what `schema` asks for.
///
/// # Errors
/// The first such place, as `path: reason`.
///
/// # Panics
/// At a keyword that is not read here, since passing over it would accept too much; at a `$ref` that leads nowhere.
pub fn accepts(document: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    At { document, path: "$".to_owned() }.holds(schema, value)
}

struct At<'d> {
    document: &'d Value,
    path: String,
}

impl At<'_> {
    fn inner(&self, member: impl std::fmt::Display) -> Self {
        Self { document: self.document, path: format!("{}.{member}", self.path) }
    }

    fn refuse(&self, why: impl std::fmt::Display) -> Result<(), String> {
        Err(format!("{}: {why}", self.path))
    }

    fn holds(&self, schema: &Value, value: &Value) -> Result<(), String> {
        let schema = match schema {
            Value::Bool(true) => return Ok(()),
            Value::Bool(false) => return self.refuse("nothing may stand here"),
            schema => schema.as_object().unwrap_or_else(|| panic!("no schema: {schema}")),
        };
        for (keyword, asked) in schema {
            self.keyword(schema, keyword, asked, value)?;
        }
        Ok(())
    }

    fn keyword(&self, schema: &Map<String, Value>, keyword: &str, asked: &Value, value: &Value) -> Result<(), String> {
        match keyword {
            "$ref" => self.holds(self.referred(asked), value),
            "type" => self.is_of_type(asked, value),
            "enum" if asked.as_array().is_some_and(|choices| choices.contains(value)) => Ok(()),
            "enum" => self.refuse(format!("{value} is none of {asked}")),
            "allOf" => list(asked).iter().try_for_each(|schema| self.holds(schema, value)),
            "oneOf" => match list(asked).iter().filter(|schema| self.holds(schema, value).is_ok()).count() {
                1 => Ok(()),
                count => self.refuse(format!("{value} is {count} of {asked}")),
            },
            "required" => {
                let absent =
                    list(asked).iter().find(|name| value.is_object() && value.get(name.as_str().unwrap_or_default()).is_none());
                absent.map_or(Ok(()), |name| self.refuse(format!("{name} is absent")))
            }
            "properties" => {
                let members = asked.as_object().into_iter().flatten();
                let mut there = members.filter_map(|(name, schema)| Some((name, schema, value.get(name)?)));
                there.try_for_each(|(name, schema, member)| self.inner(name).holds(schema, member))
            }
            "additionalProperties" => {
                let known = |name: &str| schema.get("properties").is_some_and(|members| members.get(name).is_some());
                let mut members = value.as_object().into_iter().flatten().filter(|(name, _)| !known(name));
                members.try_for_each(|(name, member)| self.inner(name).holds(asked, member))
            }
            "items" => {
                let mut items = value.as_array().into_iter().flatten().enumerate();
                items.try_for_each(|(place, item)| self.inner(place).holds(asked, item))
            }
            "minLength" | "maxLength" => self.bounds(keyword, asked, value.as_str().map(|text| text.chars().count())),
            "minItems" | "maxItems" => self.bounds(keyword, asked, value.as_array().map(Vec::len)),
            "minimum" if value.as_f64() < asked.as_f64() && value.is_number() => {
                self.refuse(format!("{value} is less than {asked}"))
            }
            "maximum" if value.as_f64() > asked.as_f64() => self.refuse(format!("{value} is more than {asked}")),
            "description" | "title" | "format" | "default" | "example" | "deprecated" | "minimum" | "maximum" => Ok(()),
            other => panic!("tests/src/schema.rs does not know the keyword {other}: teach it"),
        }
    }

    fn referred(&self, reference: &Value) -> &Value {
        let pointer = reference.as_str().and_then(|reference| reference.strip_prefix('#'));
        let found = pointer.and_then(|pointer| self.document.pointer(pointer));
        found.unwrap_or_else(|| panic!("{reference} leads nowhere"))
    }

    fn is_of_type(&self, asked: &Value, value: &Value) -> Result<(), String> {
        let is = |name: &Value| match name.as_str().unwrap_or_default() {
            "null" => value.is_null(),
            "boolean" => value.is_boolean(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            "string" => value.is_string(),
            "array" => value.is_array(),
            "object" => value.is_object(),
            other => panic!("no type of JSON: {other}"),
        };
        let fits = asked.as_array().map_or_else(|| is(asked), |names| names.iter().any(is));
        if fits { Ok(()) } else { self.refuse(format!("{value} is not of type {asked}")) }
    }

    fn bounds(&self, keyword: &str, asked: &Value, size: Option<usize>) -> Result<(), String> {
        let Some(size) = size.and_then(|size| u64::try_from(size).ok()) else { return Ok(()) };
        let bound = asked.as_u64().unwrap_or_else(|| panic!("{keyword} is no number: {asked}"));
        let fits = if keyword.starts_with("min") { size >= bound } else { size <= bound };
        if fits { Ok(()) } else { self.refuse(format!("{size} breaks {keyword} {bound}")) }
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("no list: {value}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_is_held_against_every_keyword() {
        let document = json!({"components": {"schemas": {"Tag": {"type": "string", "minLength": 1, "maxLength": 3}}}});
        let tag = json!({"$ref": "#/components/schemas/Tag"});
        let closed = json!({
            "type": "object", "required": ["a"], "additionalProperties": false,
            "properties": {
                "a": {"type": ["integer", "null"], "minimum": 1, "maximum": 3},
                "b": {"type": "array", "items": tag, "minItems": 1, "maxItems": 2}
            }
        });
        let choice = json!({"properties": {"a": {"enum": ["x", "y"]}}});
        let open = json!({"allOf": [choice, {"type": "object", "additionalProperties": {"type": "string"}}]});
        let either = json!({"oneOf": [tag, {"type": "null"}, {"type": "string", "maxLength": 1}]});
        for (schema, accepted, refused) in [
            (
                &closed,
                vec![json!({"a": 1}), json!({"a": 3, "b": ["é€x"]}), json!({"a": null, "b": ["1", "2"]})],
                vec![
                    json!({}),
                    json!([]),
                    json!({"a": 0}),
                    json!({"a": 4}),
                    json!({"a": 1.5}),
                    json!({"a": "1"}),
                    json!({"a": 1, "c": 1}),
                    json!({"a": 1, "b": []}),
                    json!({"a": 1, "b": ["1", "2", "3"]}),
                    json!({"a": 1, "b": [""]}),
                    json!({"a": 1, "b": ["four"]}),
                ],
            ),
            (&open, vec![json!({}), json!({"a": "x", "b": "c"})], vec![json!({"a": "z"}), json!({"b": 1}), json!("x")]),
            (&either, vec![json!(null), json!("two"), json!("")], vec![json!("1"), json!(1), json!("four")]),
        ] {
            for value in accepted {
                assert_eq!(accepts(&document, schema, &value), Ok(()), "{value}");
            }
            for value in refused {
                assert!(accepts(&document, schema, &value).is_err(), "{value}");
            }
        }
        let inner = accepts(&document, &closed, &json!({"a": 1, "b": ["x", "four"]}));
        assert_eq!(inner, Err("$.b.1: 4 breaks maxLength 3".to_owned()));
    }
}
