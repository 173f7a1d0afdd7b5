//! Asks a process that runs why its flags are what they are.

use std::time::Duration;

use hyper::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use crate::admin::explain::Question;
use crate::cli::Failure;
use crate::cli::client::{Endpoint, Reply};
use crate::cli::configuration::admin_at;
use crate::cli::output::Plain;
use crate::cli::status::{refusal, unreachable};

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A process that runs, and the environment that it is asked about.
pub(super) struct Process {
    endpoint: Endpoint,
    token: Option<String>,
    pub(super) environment: String,
}

/// As much of `/status` as says which environments there are.
#[derive(Deserialize)]
struct Status {
    environments: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

impl Process {
    /// The process whose admin port is at `url`. Without a name it is asked which environments it
    /// has; it must be only one then.
    pub(super) fn at(url: &str, environment: Option<&str>) -> Result<Self, Failure> {
        let admin = admin_at(url)?;
        let mut process = Self {
            endpoint: admin.endpoint,
            token: admin.token,
            environment: environment.unwrap_or_default().to_owned(),
        };
        if environment.is_none() {
            process.environment = process.only_environment()?;
        }
        Ok(process)
    }

    fn only_environment(&self) -> Result<String, Failure> {
        let reply = self.endpoint.get("/status", self.token.as_deref(), PATIENCE);
        let reply = reply.map_err(|error| Failure::Refused(unreachable(&self.endpoint, &error)))?;
        let status: Status = self.read(&reply)?;
        let names: Vec<&str> = status.environments.iter().map(|e| e.name.as_str()).collect();
        match names.as_slice() {
            [only] => Ok((*only).to_owned()),
            names => Err(Failure::Usage(format!(
                "say which environment with --environment: one of {}",
                names.join(", ")
            ))),
        }
    }

    /// Asks for an explanation.
    pub(super) fn explain(&self, question: &Question) -> Result<Value, Failure> {
        let body = serde_json::to_string(question)
            .map_err(|error| Failure::Usage(format!("the question cannot be sent: {error}")))?;
        let reply = self.endpoint.post("/explain", body, self.token.as_deref(), PATIENCE);
        let reply = reply.map_err(|error| Failure::Refused(unreachable(&self.endpoint, &error)))?;
        // What is wrong with the question is for whoever asks, and the process says it well.
        if reply.status == StatusCode::BAD_REQUEST || reply.status == StatusCode::NOT_FOUND {
            let error: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
            if let Some(message) = error.pointer("/error/message").and_then(Value::as_str) {
                return Err(Failure::Usage(Plain(message).to_string()));
            }
        }
        self.read(&reply)
    }

    fn read<T: for<'d> Deserialize<'d>>(&self, reply: &Reply) -> Result<T, Failure> {
        let here = &self.endpoint;
        if reply.status != StatusCode::OK {
            return Err(Failure::Refused(refusal(here, reply)));
        }
        serde_json::from_slice(&reply.body).map_err(|error| {
            Failure::Refused(format!("{here} does not answer as an admin port does: {error}"))
        })
    }
}
