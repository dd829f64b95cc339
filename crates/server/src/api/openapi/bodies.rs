//! Examples and descriptions of bodies. Each stands at the body's type; a body that is made of others, as a page of a list is, gets
//! its example from theirs.

use serde_json::{Map, Value};
use utoipa::openapi::{
    Components, Content, OpenApi, RefOr, Response, Schema,
    path::{Operation, PathItem},
    schema::{ArrayItems, Object},
};

/// Gives an example to each body that has none, and a text to each answer that has none.
pub fn complete(document: &mut OpenApi) {
    let components = document.components.take().unwrap_or_default();
    for operation in document.paths.paths.values_mut().flat_map(operations) {
        if let Some(RefOr::T(body)) = &mut operation.request_body {
            body.content.values_mut().for_each(|content| add_example(&components, content));
        }
        for response in operation.responses.responses.values_mut() {
            let RefOr::T(response) = response else { continue };
            response.content.values_mut().for_each(|content| add_example(&components, content));
            if response.description.is_empty() {
                response.description = description(&components, response);
            }
        }
    }
    document.components = Some(components);
}

/// The operations of an address.
pub fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let methods = [&mut item.get, &mut item.put, &mut item.post, &mut item.patch, &mut item.delete];
    methods.into_iter().flatten()
}

fn add_example(components: &Components, content: &mut RefOr<Content>) {
    if let RefOr::T(content) = content
        && content.example.is_none()
        && content.examples.is_empty()
        && let Some(schema) = &content.schema
    {
        content.example = example(components, schema);
    }
}

fn named<'c>(components: &'c Components, schema: &'c RefOr<Schema>) -> Option<&'c Schema> {
    match schema {
        RefOr::T(schema) => Some(schema),
        RefOr::Ref(reference) => named(components, components.schemas.get(reference.ref_location.rsplit('/').next()?)?),
    }
}

fn example(components: &Components, schema: &RefOr<Schema>) -> Option<Value> {
    match named(components, schema)? {
        Schema::Object(object) => object.example.clone().or_else(|| of_members(components, object)),
        Schema::Array(array) => array.example.clone().or_else(|| match &array.items {
            ArrayItems::RefOrSchema(items) => Some(Value::Array(vec![example(components, items)?])),
            ArrayItems::False => None,
        }),
        Schema::OneOf(one) => one.example.clone().or_else(|| one.items.iter().find_map(|item| example(components, item))),
        Schema::AllOf(all) => all.example.clone(),
        _ => None,
    }
}

fn of_members(components: &Components, object: &Object) -> Option<Value> {
    let members = object.properties.iter().map(|(name, schema)| Some((name.clone(), example(components, schema)?)));
    members.collect::<Option<Map<_, _>>>().filter(|members| !members.is_empty()).map(Value::Object)
}

/// What the body's type says of itself.
fn description(components: &Components, response: &Response) -> String {
    let schema = response.content.values().find_map(|content| match content {
        RefOr::T(content) => named(components, content.schema.as_ref()?),
        RefOr::Ref(_) => None,
    });
    let text = match schema {
        Some(Schema::Object(object)) => object.description.clone(),
        Some(Schema::AllOf(all)) => all.description.clone(),
        _ => None,
    };
    text.unwrap_or_else(|| "Done. The answer has no body.".to_owned())
}
