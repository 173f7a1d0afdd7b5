//! The documents themselves: complete, closed, consistent, and the same in both spellings.

use std::collections::BTreeSet;

use burgee::admin::routes;
use burgee::dialect::reflag;
use burgee::http::routing;
use burgee::origin;
use serde_json::Value;

use crate::description::{
    Description, METHODS, Port, description, dialect_of, of_origin, read_yaml,
};
use crate::schema::{self, one_or_many};

/// Of the public and the admin port, and of the origin's.
fn both() -> [&'static Description; 2] {
    [description(), of_origin()]
}

/// Set to 1 to have `openapi.json` made anew.
const WRITE: &str = "BURGEE_WRITE_OPENAPI";

#[test]
fn both_spellings_are_one_description() {
    for description in both() {
        let [yaml, json] = ["openapi.yaml", "openapi.json"].map(|name| description.file(name));
        let text = std::fs::read_to_string(yaml).unwrap();
        let mut made = read_yaml(&text).to_string();
        made.push('\n');
        if std::env::var_os(WRITE).is_some_and(|value| value == "1") {
            std::fs::write(&json, &made).unwrap();
        }
        assert!(
            made == std::fs::read_to_string(&json).unwrap(),
            "{} is not what the YAML says; make it anew: {WRITE}=1 cargo test --test openapi both_spellings",
            json.display()
        );
    }
}

#[test]
fn it_describes_this_version() {
    for Description { document, .. } in both() {
        assert_eq!(document["openapi"], "3.1.0");
        assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    }
}

/// Paths without the slash at their end.
fn described(wanted: Port) -> BTreeSet<&'static str> {
    let paths = description().paths().filter(|(port, ..)| *port == wanted);
    paths.map(|(_, path, _)| path.strip_suffix('/').unwrap_or(path)).collect()
}

#[test]
fn every_route_of_the_public_port_is_in_it_and_nothing_else() {
    let routes = routing::LABELS.iter().map(|labels| labels.route);
    let routes: BTreeSet<_> = routes.filter(|route| *route != "other").collect();
    assert_eq!(described(Port::Public), routes);
}

#[test]
fn every_route_of_the_admin_port_is_in_it_and_nothing_else() {
    let routes: BTreeSet<_> = routes::ROUTES.iter().map(|route| route.path).collect();
    assert_eq!(described(Port::Admin), routes);
}

/// Method, path, and the scopes of which a key needs one.
type Managed = BTreeSet<(String, String, Vec<String>)>;

#[test]
fn every_route_of_the_origin_is_in_it_with_its_scopes_and_nothing_else() {
    let mut described = Managed::new();
    let mut others = BTreeSet::new();
    for operation in of_origin().operations() {
        let (method, path) = (operation.method.to_uppercase(), operation.path.to_owned());
        let alternatives = operation.object["security"].as_array().unwrap();
        let scopes: Vec<_> = alternatives.iter().filter_map(|one| one.get("apiKey")).collect();
        if !path.starts_with("/api/") {
            assert!(scopes.is_empty(), "{path}");
            others.insert((method, path));
            continue;
        }
        let scopes = scopes.into_iter().map(|scopes| match &scopes.as_array().unwrap()[..] {
            [scope] => scope.as_str().unwrap().to_owned(),
            _ => panic!("{}: one scope is enough", operation.path),
        });
        described.insert((method, path, scopes.collect()));
    }
    let managed = origin::api::routes::ROUTES.iter().map(|route| {
        let scopes = route.scopes.iter().map(|scope| scope.as_wire().to_owned());
        (route.method.to_owned(), route.path.to_owned(), scopes.collect())
    });
    assert_eq!(described, managed.collect());
    let sdk = reflag::routes::ROUTES.iter().map(|route| {
        let method = if route.endpoint.takes_body() { "POST" } else { "GET" };
        (method.to_owned(), route.path.to_owned())
    });
    let streams = reflag::routes::STREAMS.map(|(path, _)| ("GET".to_owned(), path.to_owned()));
    let of_itself = origin::openapi::PATHS.map(|path| ("GET".to_owned(), path.to_owned()));
    assert_eq!(others, sdk.chain(streams).chain(of_itself).collect());
}

#[test]
fn operations_of_the_origin_are_named_as_the_routes_are() {
    for route in origin::api::routes::ROUTES {
        let operation = of_origin()
            .operations()
            .find(|o| o.path == route.path && o.method == route.method.to_lowercase())
            .unwrap();
        let name = format!("{:?}", route.operation);
        assert_eq!(name.to_lowercase(), operation.id().to_lowercase());
        let retired = name.ends_with("LegacyPath");
        assert_eq!(operation.object.get("deprecated").is_some(), retired, "{name}");
        let item = of_origin().document["paths"][route.path].as_object().unwrap();
        assert_eq!(dialect_of(item), "management", "{name}");
    }
}

#[test]
fn what_both_descriptions_have_is_the_same_in_both() {
    let [edge, origin] = both().map(|d| d.document["components"]["schemas"].as_object().unwrap());
    let mut shared = 0;
    for (name, schema) in origin {
        if let Some(other) = edge.get(name) {
            assert_eq!(schema, other, "{name}");
            shared += 1;
        }
    }
    assert!(shared > 15, "only {shared}");
}

#[test]
fn every_operation_says_what_it_is_and_who_may_call_it() {
    both().into_iter().for_each(says_what_it_is_and_who_may_call_it);
}

fn says_what_it_is_and_who_may_call_it(description: &Description) {
    let document = &description.document;
    let schemes = document["components"]["securitySchemes"].as_object().unwrap();
    let tags: Vec<_> = document["tags"].as_array().unwrap().iter().map(|t| &t["name"]).collect();
    let resolve = |value: &Value| match value.get("$ref") {
        Some(reference) => schema::resolve(document, reference.as_str().unwrap()).clone(),
        None => value.clone(),
    };
    let mut names = BTreeSet::new();
    for (_, path, item) in description.paths() {
        let others = item.keys().filter(|key| !METHODS.contains(&key.as_str()));
        for key in others {
            assert!(["servers", "parameters"].contains(&key.as_str()), "{path}: {key}");
        }
    }
    for operation in description.operations() {
        let object = operation.object;
        let id = operation.id();
        assert!(names.insert(id), "{id} names two operations");
        for text in ["summary", "description"] {
            assert!(object[text].as_str().is_some_and(|text| !text.trim().is_empty()), "{id}");
        }
        assert!(object["tags"].as_array().unwrap().iter().all(|tag| tags.contains(&tag)), "{id}");
        let security = object["security"].as_array().unwrap_or_else(|| panic!("{id}"));
        for alternative in security {
            let wanted = alternative.as_object().unwrap().keys();
            assert!(wanted.into_iter().all(|scheme| schemes.contains_key(scheme)), "{id}");
        }
        let has_body = object.get("requestBody").is_some();
        match operation.method {
            "get" => assert!(!has_body, "{id}"),
            "post" | "patch" => assert!(has_body, "{id}"),
            // Some of these say it all in their path.
            _ => {}
        }
        for parameter in operation.path.split('{').skip(1) {
            let name = parameter.split('}').next().unwrap();
            let (_, _, item) =
                description.paths().find(|(_, path, _)| *path == operation.path).unwrap();
            let mut parameters = item["parameters"].as_array().unwrap().iter().map(resolve);
            assert!(parameters.any(|p| p["name"] == name && p["in"] == "path"), "{id}");
        }
    }
}

/// Calls for every object and array below a value, with its place.
fn walk(value: &Value, place: &str, see: &mut dyn FnMut(&Value, &str)) {
    see(value, place);
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                // What stands there is nobody's schema.
                if !["example", "examples", "default", "const", "enum"].contains(&name.as_str()) {
                    walk(member, &format!("{place}/{}", name.replace('/', "~1")), see);
                }
            }
        }
        Value::Array(elements) => {
            for (index, element) in elements.iter().enumerate() {
                walk(element, &format!("{place}/{index}"), see);
            }
        }
        _ => {}
    }
}

/// All schemas, with their places.
fn schemas(document: &Value) -> Vec<(String, Value)> {
    let mut roots = Vec::new();
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        roots.push((format!("#/components/schemas/{name}"), schema.clone()));
    }
    walk(document, "#", &mut |value, place| {
        if let Some(schema) = value.get("schema") {
            roots.push((format!("{place}/schema"), schema.clone()));
        }
    });
    let mut all = Vec::new();
    while let Some((place, schema)) = roots.pop() {
        let object = schema.as_object().unwrap_or_else(|| panic!("{place}"));
        let mut add = |name: &str, inner: &Value| {
            roots.push((format!("{place}/{name}"), inner.clone()));
        };
        for (keyword, operand) in object {
            match keyword.as_str() {
                "properties" => {
                    operand.as_object().unwrap().iter().for_each(|(name, s)| add(name, s));
                }
                "oneOf" | "anyOf" => operand.as_array().unwrap().iter().for_each(|s| add("of", s)),
                "items" | "not" | "propertyNames" => add(keyword, operand),
                "additionalProperties" if operand.is_object() => add(keyword, operand),
                _ => {}
            }
        }
        all.push((place, schema));
    }
    all
}

#[test]
fn every_schema_is_closed_or_says_why_it_is_open() {
    let all = both().into_iter().flat_map(|description| schemas(&description.document));
    for (place, schema) in all {
        let has = |keyword: &str| schema.get(keyword).is_some();
        let says_why = schema["x-open"].as_str().is_some_and(|why| why.len() > 10);
        let kinds = schema.get("type").map(one_or_many).unwrap_or_default();
        let is_object = kinds.contains(&"object") || has("properties") || has("required");
        if is_object {
            assert!(has("additionalProperties"), "{place} is neither closed nor said to be open");
        }
        let is_open = schema["additionalProperties"] == true;
        if kinds.contains(&"array") {
            assert!(
                has("items") || schema["maxItems"] == 0,
                "{place} says nothing of its elements"
            );
        }
        let says = ["$ref", "type", "const", "enum", "oneOf", "anyOf", "not", "pattern"];
        let says_nothing = !says.into_iter().any(has);
        assert_eq!(is_open || says_nothing, says_why, "{place}: x-open is for what is open");
        for name in schema["required"].as_array().into_iter().flatten() {
            let name = name.as_str().unwrap();
            assert!(schema["properties"].get(name).is_some(), "{place} requires {name} of no form");
        }
    }
}

#[test]
fn every_reference_leads_somewhere_and_every_component_is_used() {
    for description in both() {
        leads_somewhere_and_is_used(&description.document);
    }
}

fn leads_somewhere_and_is_used(document: &Value) {
    let mut used = BTreeSet::new();
    walk(document, "#", &mut |value, _| {
        if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
            schema::resolve(document, reference);
            used.insert(reference.to_owned());
        }
    });
    for kind in ["parameters", "headers", "responses", "schemas"] {
        for name in document["components"][kind].as_object().unwrap().keys() {
            let place = format!("#/components/{kind}/{name}");
            assert!(used.contains(&place), "{place} is not used");
        }
    }
}

#[test]
fn every_example_is_one() {
    let count: u32 = both().into_iter().map(|description| examples(&description.document)).sum();
    assert!(count > 200, "only {count} examples");
}

/// Checks all examples; gives how many there are.
fn examples(document: &Value) -> u32 {
    let check = |schema: &Value, example: &Value, place: &str| {
        schema::check(document, schema, example)
            .unwrap_or_else(|what| panic!("the example at {place}: {what}"));
    };
    let mut count = 0;
    for (place, schema) in schemas(document) {
        for example in schema["examples"].as_array().into_iter().flatten() {
            check(&schema, example, &place);
            count += 1;
        }
    }
    walk(document, "#", &mut |value, place| {
        let Some(schema) = value.get("schema") else { return };
        let named = value["examples"].as_object().into_iter().flatten();
        let named = named.map(|(_, example)| &example["value"]);
        for example in value.get("example").into_iter().chain(named) {
            check(schema, example, place);
            count += 1;
        }
    });
    count
}

#[test]
fn every_answer_with_json_shows_an_example() {
    both().into_iter().for_each(shows_an_example);
}

fn shows_an_example(description: &Description) {
    let document = &description.document;
    let resolve = |value: &Value| match value.get("$ref") {
        Some(reference) => schema::resolve(document, reference.as_str().unwrap()).clone(),
        None => value.clone(),
    };
    for operation in description.operations() {
        for (status, response) in operation.object["responses"].as_object().unwrap() {
            let response = resolve(response);
            let media = &response["content"]["application/json"];
            if media.is_null() || operation.id().ends_with("OpenapiJson") {
                continue;
            }
            let shown = |schema: &Value| schema.get("examples").is_some();
            let own = media.get("example").is_some() || media.get("examples").is_some();
            let schema = resolve(&media["schema"]);
            let alternatives = schema["oneOf"].as_array().into_iter().flatten();
            let inner = shown(&schema) || alternatives.map(resolve).any(|one| shown(&one));
            assert!(own || inner, "{} {status}", operation.id());
        }
    }
}
