//! The table of operations: every route refuses what it has to refuse, in the protocol's shape.

use std::path::Path;

use burgee::origin::api::routes::{ROUTES, Route};
use burgee::origin::model::Scope;
use serde_json::Value;

use crate::scene::{Scene, api_key, apply_file};
use crate::support::wire::Reply;

/// A route's path with things that are there, and an app.
fn path_of(scene: &Scene, route: &Route, app: &str, environment: &str) -> String {
    let path = route.path.replace("{appId}", app).replace("{envId}", environment);
    let mut path = path
        .replace("{flagKey}", "new-checkout-flow")
        .replace("{flagId}", "new-checkout-flow")
        .replace("{kind}", "secret")
        .replace("{companyId}", "acme")
        .replace("{userId}", "ada");
    for unknown in ["{apiKeyId}", "{stageId}", "{segmentId}"] {
        path = path.replace(unknown, "xx000000000000");
    }
    let asks_for_environment = route.path.contains("/features")
        || (route.path.ends_with("/flags")
            && !route.path.contains("/envs/")
            && path.matches('/').count() == 6);
    let _ = scene;
    if asks_for_environment { format!("{path}?envId={environment}") } else { path }
}

/// The strict error body.
#[track_caller]
fn refused(reply: &Reply, status: u16, code: &str, what: &str) -> Value {
    assert_eq!(reply.status, status, "{what}: {}", reply.text());
    let content_type = reply.header("content-type").unwrap_or_default();
    assert!(content_type.contains("application/json"), "{what}: {content_type}");
    let body = reply.json();
    assert_eq!(body["error"]["code"], code, "{what}: {body}");
    assert!(body["error"]["message"].as_str().is_some_and(|message| !message.is_empty()), "{what}");
    body
}

fn body_of(route: &Route) -> &'static str {
    if route.method == "GET" { "" } else { "{}" }
}

#[test]
fn every_operation_needs_a_key_that_is_valid() {
    let scene = Scene::start();
    let environment = scene.environment("Production");
    let (publishable, secret) = scene.sdk_keys("Production");
    for route in ROUTES {
        let path = path_of(&scene, route, scene.app.as_str(), &environment);
        let what = format!("{} {path}", route.method);
        for key in ["api_0000000000000000000000000000000000000000", &publishable, &secret, ""] {
            let reply = scene.holding(key).ask(route.method, &path, body_of(route));
            refused(&reply, 401, "unauthenticated", &what);
        }
        let nobody = scene.admin_key().without("Authorization");
        let reply = nobody.ask(route.method, &path, body_of(route));
        refused(&reply, 401, "unauthenticated", &what);
        assert_eq!(reply.header("www-authenticate"), Some("Bearer"), "{what}");
    }
}

#[test]
fn every_operation_needs_its_scope_and_says_which() {
    let scene = Scene::start();
    let environment = scene.environment("Production");
    for route in ROUTES.iter().filter(|route| !route.scopes.contains(&Scope::Read)) {
        let path = path_of(&scene, route, scene.app.as_str(), &environment);
        let what = format!("{} {path}", route.method);
        let others: Vec<_> =
            Scope::ALL.into_iter().filter(|scope| !route.scopes.contains(scope)).collect();
        let key = api_key(&scene.database(), &scene.app, &others);
        let reply = scene.holding(&key).ask(route.method, &path, body_of(route));
        let body = refused(&reply, 403, "unauthorized", &what);
        let message = body["error"]["message"].as_str().unwrap();
        assert!(message.contains(route.scopes[0].as_wire()), "{what}: {message}");
    }
}

#[test]
fn a_foreign_app_is_not_there() {
    let scene = Scene::start();
    let foreign = apply_file(&scene.database(), "[app]\nname = \"Other\"\n");
    let environment = scene.environment("Production");
    for route in ROUTES.iter().filter(|route| route.path.contains("{appId}")) {
        for app in [foreign.as_str(), "ap000000000000"] {
            let path = path_of(&scene, route, app, &environment);
            let reply = scene.admin_key().ask(route.method, &path, body_of(route));
            refused(&reply, 404, "not_found", &format!("{} {path}", route.method));
        }
    }
    let apps = scene.get("/api/apps");
    assert_eq!(apps["data"].as_array().unwrap().len(), 1, "a key sees its own app only");
}

#[test]
fn an_environment_of_another_app_or_of_nobody_is_not_there() {
    let scene = Scene::start();
    let foreign = apply_file(&scene.database(), "[app]\nname = \"Other\"\n");
    let key = api_key(&scene.database(), &foreign, &[]);
    let app = scene.holding(&key).get(&format!("/api/apps/{foreign}")).json();
    let foreign = app["environments"][0]["id"].as_str().unwrap().to_owned();
    for route in ROUTES.iter().filter(|route| route.path.contains("{envId}")) {
        for environment in [foreign.as_str(), "en000000000000"] {
            let path = path_of(&scene, route, scene.app.as_str(), environment);
            let what = format!("{} {path}", route.method);
            let body = match route.path {
                path if path.ends_with("/flags") => {
                    r#"{"updates":[{"flagKey":"search-v2","specificTargetValue":true}]}"#
                }
                path if path.contains("specific-targets") => {
                    r#"{"updates":[{"flagKey":"search-v2","value":true,"companyId":"a"}]}"#
                }
                _ => body_of(route),
            };
            let body = if route.method == "GET" { "" } else { body };
            let reply = scene.admin_key().ask(route.method, &path, body);
            refused(&reply, 404, "not_found", &what);
        }
    }
}

#[test]
fn every_body_that_is_no_json_or_no_object_is_refused_with_its_place() {
    let scene = Scene::start();
    let environment = scene.environment("Production");
    // These read no body.
    let none = ["DELETE"];
    for route in ROUTES.iter().filter(|r| r.method != "GET" && !none.contains(&r.method)) {
        if route.path.ends_with("/companies/{companyId}/users/{userId}") {
            continue;
        }
        let path = path_of(&scene, route, scene.app.as_str(), &environment);
        for (body, place) in [("{\"a\":", "not JSON"), ("[]", "object"), ("\"text\"", "object")] {
            let what = format!("{} {path} {body}", route.method);
            let reply = scene.admin_key().ask(route.method, &path, body);
            let body = refused(&reply, 400, "invalid_request", &what);
            let message = body["issues"][""][0].as_str().unwrap_or_default();
            assert!(message.contains(place), "{what}: {body}");
        }
    }
}

#[test]
fn unknown_paths_and_methods_are_told_in_json() {
    let scene = Scene::start();
    let reply = scene.admin_key().get("/api/nothing");
    refused(&reply, 404, "not_found", "an unknown path");
    let reply = scene.admin_key().ask("DELETE", &scene.path("/flags"), "");
    refused(&reply, 405, "invalid_request", "a wrong method");
    assert_eq!(reply.header("allow"), Some("GET, HEAD, POST"));
    let reply = scene.admin_key().get("/api/apps/%ff");
    refused(&reply, 400, "invalid_request", "bytes that are no text");
    let head = scene.admin_key().ask("HEAD", "/api/apps", "");
    assert_eq!((head.status, head.text().len()), (200, 0));
    assert!(Path::new(&scene.database()).exists());
}

#[test]
fn a_body_beyond_the_limit_is_refused() {
    let scene = Scene::start();
    let body = format!("{{\"key\":\"{}\"}}", "x".repeat(33 << 20));
    let reply = scene.admin_key().ask("POST", &scene.path("/flags"), body);
    refused(&reply, 413, "invalid_request", "a long body");
}
