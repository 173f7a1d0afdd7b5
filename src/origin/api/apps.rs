//! Apps, environments, and what the official command line asks for first
//! (reflag-management.md sections 5, 7).

use serde_json::json;

use super::{Answer, Api, Call, answer};
use crate::origin::model::{App, Environment, FlagKeyFormat, Org, OrgId};
use crate::origin::store::{Reader, Stored};
use crate::origin::wire::{AppAnswer, EnvironmentAnswer};

/// The organisation, which is made with the first app.
fn org(reader: &Reader<'_>) -> Stored<Org> {
    let none = || Org { id: OrgId::from("or000000000000"), name: String::new() };
    Ok(reader.org()?.unwrap_or_else(none))
}

impl Api {
    pub(super) async fn list_apps(&self, call: &Call) -> Answer {
        let (app, asked) = (call.app(), call.query("orgId")?);
        let apps = self.read(move |reader| {
            let org = org(reader)?;
            if asked.is_some_and(|asked| asked != org.id.as_str()) {
                return Ok(Vec::new());
            }
            Ok(vec![AppAnswer::header(reader, org, reader.app(&app)?)?])
        });
        answer(&json!({"data": apps.await?}))
    }

    pub(super) async fn app(&self, call: &Call) -> Answer {
        let app = call.app();
        let app =
            self.read(move |reader| AppAnswer::whole(reader, org(reader)?, reader.app(&app)?));
        answer(&app.await?)
    }

    pub(super) async fn list_environments(&self, call: &Call) -> Answer {
        let by = call.choice("sortBy", &["order", "name"])?;
        let order = call.choice("sortOrder", &["asc", "desc"])?;
        let app = call.app();
        let mut environments = self.read(move |reader| reader.environments(&app)).await?;
        if by == "name" {
            environments.sort_by(|a, b| a.name.cmp(&b.name));
        }
        if order == "desc" {
            environments.reverse();
        }
        let data: Vec<_> = environments.into_iter().map(EnvironmentAnswer::header).collect();
        answer(&json!({"data": data, "sortOrder": order, "sortBy": by}))
    }

    pub(super) async fn environment(&self, call: &Call) -> Answer {
        let (app, environment) = (call.app(), call.environment());
        let environment = self.read(move |reader| {
            EnvironmentAnswer::whole(reader, reader.environment(&app, &environment)?)
        });
        answer(&environment.await?)
    }

    pub(super) async fn bootstrap(&self, call: &Call) -> Answer {
        let app = call.app();
        let look = self
            .read(move |reader| Ok((org(reader)?, reader.app(&app)?, reader.environments(&app)?)));
        let (org, app, environments) = look.await?;
        let key = &call.key;
        answer(&json!({
            "org": {
                "id": org.id,
                "name": org.name,
                "featureKeyFormat": FlagKeyFormat::as_wire(app.flag_key_format),
                "apps": [bootstrap_app(&app, &environments)],
            },
            // Whoever holds the key: there is nobody behind it.
            "user": {"id": key.id, "name": key.name, "email": format!("{}@api-keys.invalid", key.id)},
        }))
    }
}

fn bootstrap_app(app: &App, environments: &[Environment]) -> serde_json::Value {
    let environments: Vec<_> = environments
        .iter()
        .map(|environment| {
            json!({
                "id": environment.id,
                "name": environment.name,
                "isProduction": environment.is_production,
                "order": environment.order,
            })
        })
        .collect();
    json!({"id": app.id, "name": app.name, "demo": app.demo, "environments": environments})
}
