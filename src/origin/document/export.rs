//! Writes what is stored as a file that makes the same of an empty database.

use std::collections::HashMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::toml_text::{from_json, payload, string};
use crate::origin::api::{rename_segments, write_config, write_rules};
use crate::origin::model::{
    App, ConfigTargeting, Environment, Flag, Rule, SegmentId, SegmentKind, Targeting,
};
use crate::origin::store::{ALL_COMPANIES, Reader, STAGES, Stored};

/// An app as a file.
pub fn export(reader: &Reader<'_>, app: &App) -> Stored<String> {
    let mut out = format!(
        "[app]\nname = {}\nflag_key_format = {}\n",
        string(&app.name),
        string(app.flag_key_format.as_wire())
    );
    let stages = reader.stages(&app.id)?;
    if STAGES.iter().any(|(name, _)| !stages.iter().any(|stage| stage.name == *name)) {
        out.push_str("predefined_stages = false\n");
    }
    let environments = reader.environments(&app.id)?;
    for environment in &environments {
        let _ = write!(out, "\n[[environments]]\nname = {}\n", string(&environment.name));
        if environment.is_production {
            out.push_str("production = true\n");
        }
    }
    for member in reader.members()? {
        let (name, email) = (string(&member.name), string(&member.email));
        let _ = write!(out, "\n[[members]]\nname = {name}\nemail = {email}\n");
    }
    let segments = reader.segments(&app.id)?;
    let names: Segments = segments.iter().map(|s| (s.id.clone(), s.name.clone())).collect();
    let of_all = segments.iter().filter(|segment| segment.kind == SegmentKind::All);
    for segment in of_all.filter(|segment| segment.name != ALL_COMPANIES) {
        let _ = write!(out, "\n[[segments]]\nname = {}\ntype = \"all\"\n", string(&segment.name));
    }
    for segment in segments.iter().filter(|segment| segment.kind == SegmentKind::Custom) {
        let _ = write!(out, "\n[[segments]]\nname = {}\n", string(&segment.name));
        line("rules", &write_rules(&segment.rules), &mut out);
    }
    let mut bringing = HashMap::new();
    for stage in stages {
        let (name, color) = (string(&stage.name), string(&stage.color));
        let _ =
            write!(out, "\n[[stages]]\nname = {name}\ncolor = {color}\norder = {}\n", stage.order);
        let targeting = reader.stage_targeting(&stage.id)?;
        for environment in &environments {
            let Some(access) = targeting.get(&environment.id) else { continue };
            let name = string(&environment.name);
            let _ = write!(out, "[[stages.targeting]]\nenvironment = {name}\n");
            line("everyone", &json!(access.everyone), &mut out);
            line("segments", &json!(named(&names, &access.segments)), &mut out);
            line("rules", &rules(&names, &access.rules), &mut out);
        }
        bringing.insert(stage.id, targeting);
    }
    let mut flags = reader.flags(&app.id)?;
    flags.sort_by(|a, b| a.key.cmp(&b.key));
    for flag in &flags {
        write_flag(reader, flag, &mut out)?;
    }
    for flag in &flags {
        let brought = flag.stage.as_ref().and_then(|stage| bringing.get(&stage.id));
        for environment in &environments {
            let targeting = reader.targeting(&environment.id, &flag.id)?;
            let by_stage = brought.is_some_and(|brought| brought.contains_key(&environment.id));
            write_targeting(&names, flag, environment, targeting, by_stage, &mut out);
        }
    }
    Ok(out)
}

/// Segments' names.
type Segments = HashMap<SegmentId, String>;

fn name_of(names: &Segments, id: &SegmentId) -> String {
    names.get(id).cloned().unwrap_or_else(|| id.to_string())
}

fn named(names: &Segments, ids: &[SegmentId]) -> Vec<String> {
    ids.iter().map(|id| name_of(names, id)).collect()
}

fn rules(names: &Segments, rules: &[Rule]) -> Value {
    let mut rules = rules.to_vec();
    rename_segments(&mut rules, None, |id| name_of(names, id).as_str().into());
    write_rules(&rules)
}

fn write_flag(reader: &Reader<'_>, flag: &Flag, out: &mut String) -> Stored<()> {
    let (key, name) = (string(&flag.key), string(&flag.name));
    let _ = write!(out, "\n[[flags]]\nkey = {key}\nname = {name}\n");
    let stage = flag.stage.as_ref().map(|stage| &stage.name);
    let owner = flag.owner.as_ref().map(|owner| &owner.email);
    for (name, value) in
        [("description", flag.description.as_ref()), ("stage", stage), ("owner", owner)]
    {
        if let Some(value) = value {
            line(name, &json!(value), out);
        }
    }
    for (name, value) in
        [("secret", flag.secret), ("permanent", flag.permanent), ("archived", flag.archived)]
    {
        if value {
            line(name, &json!(true), out);
        }
    }
    for variant in reader.variants(&flag.id)? {
        let _ = write!(out, "[[flags.variants]]\nkey = {}\n", string(&variant.key));
        if let Some(text) = &variant.payload {
            payload(text, out);
        }
    }
    Ok(())
}

/// Nothing where there is nothing, unless the flag's stage would bring something.
fn write_targeting(
    names: &Segments,
    flag: &Flag,
    environment: &Environment,
    targeting: Targeting,
    by_stage: bool,
    out: &mut String,
) {
    let Targeting { access, company_ids, user_ids, mut config, .. } = targeting;
    let has_config = config != ConfigTargeting::default();
    let has_access = access.everyone || !access.segments.is_empty() || !access.rules.is_empty();
    let has_lists = !company_ids.is_empty() || !user_ids.is_empty();
    if !(has_config || has_access || has_lists || by_stage) {
        return;
    }
    let (key, name) = (string(&flag.key), string(&environment.name));
    let _ = write!(out, "\n[[targeting]]\nflag = {key}\nenvironment = {name}\n");
    if by_stage || has_access {
        line("everyone", &json!(access.everyone), out);
        line("segments", &json!(named(names, &access.segments)), out);
        line("rules", &rules(names, &access.rules), out);
    }
    for (name, ids) in [("companies", &company_ids), ("users", &user_ids)] {
        if !ids.is_empty() {
            line(name, &json!(ids), out);
        }
    }
    if has_config {
        rename_segments(&mut [], Some(&mut config), |id| name_of(names, id).as_str().into());
        let mut written = write_config(&config);
        if let Value::Object(members) = &mut written {
            members.retain(|_, value| match value {
                Value::Null => false,
                Value::Array(items) => !items.is_empty(),
                Value::Object(listed) => !listed.is_empty(),
                _ => true,
            });
        }
        line("config", &written, out);
    }
}

fn line(name: &str, value: &Value, out: &mut String) {
    // Nothing of what is written so holds null.
    if let Some(value) = from_json(value) {
        let _ = writeln!(out, "{name} = {value}");
    }
}
