//! Uses the OpenFeature SDK for Rust, whose provider asks Burgee at each evaluation, as an
//! application would, and says what it saw.
//!
//! Its arguments are the scenario, `flags` or `changes`, and what the test tells: where Burgee is, a
//! key, which flags to ask for, and in which contexts. With `changes` it looks a second time when it
//! has been told to go on.

use std::error::Error;
use std::io;

use open_feature::{
    Client, EvaluationContext, EvaluationContextFieldValue, EvaluationDetails, EvaluationError,
    EvaluationErrorCode, FlagMetadata, FlagMetadataValue, OpenFeature, StructValue,
    Value as FlagValue,
};
use open_feature_ofrep::{OfrepOptions, OfrepProvider};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value, json};

type Failure = Box<dyn Error>;

fn main() -> Result<(), Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run())
}

async fn run() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let scenario = arguments.next().ok_or("no scenario")?;
    let told: Value = serde_json::from_str(&arguments.next().ok_or("told nothing")?)?;
    let client = client(&told).await?;
    println!("{}", seen(&client, &told).await?);
    match &*scenario {
        "flags" => {}
        "changes" => {
            io::stdin().read_line(&mut String::new())?;
            println!("{}", seen(&client, &told).await?);
        }
        _ => return Err("an unknown scenario".into()),
    }
    Ok(())
}

/// A client with a key in one of the two header fields that may have it.
async fn client(told: &Value) -> Result<Client, Failure> {
    let text = |name: &str| told[name].as_str().ok_or_else(|| format!("not told: {name}"));
    let (key, header) = (text("key")?, text("header")?);
    let value = if header == "Authorization" { format!("Bearer {key}") } else { key.to_owned() };
    let mut headers = HeaderMap::new();
    headers.insert(HeaderName::from_bytes(header.as_bytes())?, HeaderValue::from_str(&value)?);
    let base_url = text("url")?.to_owned();
    let options = OfrepOptions { base_url, headers, ..OfrepOptions::default() };
    let provider = OfrepProvider::new(options).await.map_err(|error| format!("{error:?}"))?;
    let mut api = OpenFeature::singleton_mut().await;
    api.set_provider(provider).await;
    Ok(api.create_client())
}

/// What is seen in each context of each flag that is asked for.
async fn seen(client: &Client, told: &Value) -> Result<Value, Failure> {
    let list = |name: &str| told[name].as_array().ok_or_else(|| format!("not told: {name}"));
    let mut of_each = Vec::new();
    for context in list("contexts")? {
        let context = context_of(context)?;
        let mut faces = Vec::new();
        for asked in list("asked")? {
            let key = asked[0].as_str().ok_or("a flag without a key")?;
            faces.push(look(client, key, &asked[1], &context).await);
        }
        of_each.push(Value::Array(faces));
    }
    Ok(Value::Array(of_each))
}

/// The SDK has no nested attributes.
fn context_of(attributes: &Value) -> Result<EvaluationContext, Failure> {
    let mut context = EvaluationContext::default();
    for (name, value) in attributes.as_object().ok_or("a context is an object")? {
        if name == "targetingKey" {
            context.targeting_key = value.as_str().map(str::to_owned);
            continue;
        }
        let value = match value {
            Value::Bool(value) => EvaluationContextFieldValue::Bool(*value),
            Value::String(value) => EvaluationContextFieldValue::String(value.clone()),
            Value::Number(number) => match number.as_i64() {
                Some(integer) => EvaluationContextFieldValue::Int(integer),
                None => EvaluationContextFieldValue::Float(number.as_f64().ok_or("too large")?),
            },
            _ => return Err(format!("{name} is nested").into()),
        };
        context.add_custom_field(name, value);
    }
    Ok(context)
}

/// Asks for a flag by the type of the application's default.
async fn look(client: &Client, key: &str, fallback: &Value, context: &EvaluationContext) -> Value {
    let context = Some(context);
    match fallback {
        Value::Bool(_) => face(client.get_bool_details(key, context, None).await, fallback),
        Value::String(_) => face(client.get_string_details(key, context, None).await, fallback),
        Value::Number(number) if number.is_f64() => {
            face(client.get_float_details(key, context, None).await, fallback)
        }
        Value::Number(_) => face(client.get_int_details(key, context, None).await, fallback),
        _ => {
            let details = client.get_struct_details::<StructValue>(key, context, None).await;
            let as_json = |details: EvaluationDetails<StructValue>| EvaluationDetails {
                value: json_of(FlagValue::Struct(details.value)),
                flag_key: details.flag_key,
                reason: details.reason,
                variant: details.variant,
                flag_metadata: details.flag_metadata,
            };
            face(details.map(as_json), fallback)
        }
    }
}

/// What an application sees of an evaluation: the SDK leaves it to the application to fall back.
fn face(
    details: Result<EvaluationDetails<impl Into<Value>>, EvaluationError>,
    fallback: &Value,
) -> Value {
    match details {
        Ok(details) => json!({
            "value": details.value.into(),
            "variant": details.variant,
            "reason": details.reason.map(|reason| reason.to_string()),
            "metadata": metadata(details.flag_metadata),
        }),
        Err(error) => {
            let code = match error.code {
                // It prints its words.
                EvaluationErrorCode::General(_) => "GENERAL".to_owned(),
                code => code.to_string(),
            };
            json!({"value": fallback, "errorCode": code, "errorMessage": error.message})
        }
    }
}

fn metadata(metadata: FlagMetadata) -> Map<String, Value> {
    let values = metadata.values.into_iter().map(|(name, value)| {
        let value = match value {
            FlagMetadataValue::Bool(value) => json!(value),
            FlagMetadataValue::Int(value) => json!(value),
            FlagMetadataValue::Float(value) => json!(value),
            FlagMetadataValue::String(value) => json!(value),
        };
        (name, value)
    });
    values.collect()
}

fn json_of(value: FlagValue) -> Value {
    match value {
        FlagValue::Bool(value) => json!(value),
        FlagValue::Int(value) => json!(value),
        FlagValue::Float(value) => json!(value),
        FlagValue::String(value) => json!(value),
        FlagValue::Array(list) => list.into_iter().map(json_of).collect(),
        FlagValue::Struct(members) => {
            members.fields.into_iter().map(|(name, value)| (name, json_of(value))).collect()
        }
    }
}
