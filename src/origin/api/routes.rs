//! What exists: method, path, who may call it. Found by the raw path, each segment decoded once, so
//! that an id may hold a slash (reflag-management.md section 3).

use percent::decode_segment;

use crate::origin::model::Scope;

/// What a route does. Named after the protocol's operations; those of our own follow them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the variants are the protocol's own names")]
pub enum Operation {
    ListApps,
    GetApp,
    ListEnvironments,
    GetEnvironment,
    ListFlags,
    CreateFlag,
    UpdateFlag,
    GetFlagTargeting,
    GetCompanyFlags,
    UpdateCompanyFlags,
    UpsertCompany,
    DeleteCompany,
    GetUserFlags,
    UpdateUserFlags,
    UpsertUser,
    DeleteUser,
    UpdateBulkFlagSpecificTargets,
    GetCompanyFlagsLegacyPath,
    UpdateCompanyFlagsLegacyPath,
    GetUserFlagsLegacyPath,
    UpdateUserFlagsLegacyPath,
    CliBootstrap,
    CliListFeatures,
    CliCreateFeature,
    CreateEnvironment,
    UpdateEnvironment,
    DeleteEnvironment,
    ListEnvironmentKeys,
    RotateEnvironmentKey,
    ListApiKeys,
    CreateApiKey,
    RevokeApiKey,
    ListMembers,
    PutMember,
    ListStages,
    CreateStage,
    UpdateStage,
    DeleteStage,
    ListSegments,
    CreateSegment,
    UpdateSegment,
    DeleteSegment,
    GetVariants,
    PutVariants,
    GetTargeting,
    UpdateTargeting,
    ListTargetedCompanies,
    ListTargetedUsers,
    ListCompanies,
    GetCompany,
    ListUsers,
    GetUser,
    AddCompanyUser,
    RemoveCompanyUser,
    ListAudit,
}

impl Operation {
    /// Whether only the official command line calls it.
    pub fn is_command_lines(self) -> bool {
        matches!(self, Self::CliBootstrap | Self::CliListFeatures | Self::CliCreateFeature)
    }
}

/// A method and a path, and what they do.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// `GET`, `POST`, `PUT`, `PATCH` or `DELETE`.
    pub method: &'static str,
    /// With `{parameters}`.
    pub path: &'static str,
    /// What it does.
    pub operation: Operation,
    /// The key needs one of these.
    pub scopes: &'static [Scope],
}

const READ: &[Scope] = &[Scope::Read];
const FLAG: &[Scope] = &[Scope::CreateFlag];
/// No source names the scope of `updateFlag`, so both that could be meant do.
const CHANGE_FLAG: &[Scope] = &[Scope::CreateFlag, Scope::WriteFlag];
const VALUES: &[Scope] = &[Scope::WriteFlag];
const TARGETING: &[Scope] = &[Scope::WriteFlagTargeting];
const ENTITIES: &[Scope] = &[Scope::WriteEntities];
const APP: &[Scope] = &[Scope::WriteApp];
const KEYS: &[Scope] = &[Scope::WriteKeys];

const fn route(
    method: &'static str,
    path: &'static str,
    operation: Operation,
    scopes: &'static [Scope],
) -> Route {
    Route { method, path, operation, scopes }
}

/// All routes. Of two that fit a path the first counts.
#[rustfmt::skip]
#[allow(clippy::enum_glob_use, reason = "the table is read more easily without the prefix")]
pub const ROUTES: &[Route] = &{
    use Operation::*;
    [
    // Reflag's Management API.
    route("GET", "/api/apps", ListApps, READ),
    route("GET", "/api/apps/{appId}", GetApp, READ),
    route("GET", "/api/apps/{appId}/environments", ListEnvironments, READ),
    route("GET", "/api/apps/{appId}/environments/{envId}", GetEnvironment, READ),
    route("GET", "/api/apps/{appId}/flags", ListFlags, READ),
    route("POST", "/api/apps/{appId}/flags", CreateFlag, FLAG),
    route("PATCH", "/api/apps/{appId}/flags/specific-targets/{envId}", UpdateBulkFlagSpecificTargets, TARGETING),
    route("PATCH", "/api/apps/{appId}/flags/{flagId}", UpdateFlag, CHANGE_FLAG),
    route("GET", "/api/apps/{appId}/flags/{flagKey}/targeting/{envId}", GetFlagTargeting, READ),
    route("GET", "/api/apps/{appId}/envs/{envId}/companies/{companyId}/flags", GetCompanyFlags, READ),
    route("PATCH", "/api/apps/{appId}/envs/{envId}/companies/{companyId}/flags", UpdateCompanyFlags, TARGETING),
    route("PUT", "/api/apps/{appId}/envs/{envId}/companies/{companyId}", UpsertCompany, ENTITIES),
    route("DELETE", "/api/apps/{appId}/envs/{envId}/companies/{companyId}", DeleteCompany, ENTITIES),
    route("GET", "/api/apps/{appId}/envs/{envId}/users/{userId}/flags", GetUserFlags, READ),
    route("PATCH", "/api/apps/{appId}/envs/{envId}/users/{userId}/flags", UpdateUserFlags, TARGETING),
    route("PUT", "/api/apps/{appId}/envs/{envId}/users/{userId}", UpsertUser, ENTITIES),
    route("DELETE", "/api/apps/{appId}/envs/{envId}/users/{userId}", DeleteUser, ENTITIES),
    // Spellings of versions 1.3.0 and 2.0.0.
    route("GET", "/api/apps/{appId}/companies/{companyId}/flags", GetCompanyFlagsLegacyPath, READ),
    route("PATCH", "/api/apps/{appId}/companies/{companyId}/flags", UpdateCompanyFlagsLegacyPath, TARGETING),
    route("GET", "/api/apps/{appId}/users/{userId}/flags", GetUserFlagsLegacyPath, READ),
    route("PATCH", "/api/apps/{appId}/users/{userId}/flags", UpdateUserFlagsLegacyPath, TARGETING),
    // What the official command line calls.
    route("GET", "/api/bootstrap", CliBootstrap, READ),
    route("GET", "/api/apps/{appId}/features", CliListFeatures, READ),
    route("POST", "/api/apps/{appId}/features", CliCreateFeature, FLAG),
    // What the Management API lacks.
    route("POST", "/api/burgee/apps/{appId}/environments", CreateEnvironment, APP),
    route("PATCH", "/api/burgee/apps/{appId}/environments/{envId}", UpdateEnvironment, APP),
    route("DELETE", "/api/burgee/apps/{appId}/environments/{envId}", DeleteEnvironment, APP),
    route("GET", "/api/burgee/apps/{appId}/environments/{envId}/keys", ListEnvironmentKeys, READ),
    route("POST", "/api/burgee/apps/{appId}/environments/{envId}/keys/{kind}/rotate", RotateEnvironmentKey, KEYS),
    route("GET", "/api/burgee/apps/{appId}/api-keys", ListApiKeys, READ),
    route("POST", "/api/burgee/apps/{appId}/api-keys", CreateApiKey, KEYS),
    route("DELETE", "/api/burgee/apps/{appId}/api-keys/{apiKeyId}", RevokeApiKey, KEYS),
    route("GET", "/api/burgee/apps/{appId}/members", ListMembers, READ),
    route("POST", "/api/burgee/apps/{appId}/members", PutMember, APP),
    route("GET", "/api/burgee/apps/{appId}/stages", ListStages, READ),
    route("POST", "/api/burgee/apps/{appId}/stages", CreateStage, APP),
    route("PATCH", "/api/burgee/apps/{appId}/stages/{stageId}", UpdateStage, APP),
    route("DELETE", "/api/burgee/apps/{appId}/stages/{stageId}", DeleteStage, APP),
    route("GET", "/api/burgee/apps/{appId}/segments", ListSegments, READ),
    route("POST", "/api/burgee/apps/{appId}/segments", CreateSegment, APP),
    route("PATCH", "/api/burgee/apps/{appId}/segments/{segmentId}", UpdateSegment, APP),
    route("DELETE", "/api/burgee/apps/{appId}/segments/{segmentId}", DeleteSegment, APP),
    route("GET", "/api/burgee/apps/{appId}/flags/{flagKey}/variants", GetVariants, READ),
    route("PUT", "/api/burgee/apps/{appId}/flags/{flagKey}/variants", PutVariants, VALUES),
    route("GET", "/api/burgee/apps/{appId}/flags/{flagKey}/targeting/{envId}", GetTargeting, READ),
    route("PATCH", "/api/burgee/apps/{appId}/flags/{flagKey}/targeting/{envId}", UpdateTargeting, TARGETING),
    route("GET", "/api/burgee/apps/{appId}/flags/{flagKey}/targeting/{envId}/companies", ListTargetedCompanies, READ),
    route("GET", "/api/burgee/apps/{appId}/flags/{flagKey}/targeting/{envId}/users", ListTargetedUsers, READ),
    route("GET", "/api/burgee/apps/{appId}/envs/{envId}/companies", ListCompanies, READ),
    route("GET", "/api/burgee/apps/{appId}/envs/{envId}/companies/{companyId}", GetCompany, READ),
    route("GET", "/api/burgee/apps/{appId}/envs/{envId}/users", ListUsers, READ),
    route("GET", "/api/burgee/apps/{appId}/envs/{envId}/users/{userId}", GetUser, READ),
    route("PUT", "/api/burgee/apps/{appId}/envs/{envId}/companies/{companyId}/users/{userId}", AddCompanyUser, ENTITIES),
    route("DELETE", "/api/burgee/apps/{appId}/envs/{envId}/companies/{companyId}/users/{userId}", RemoveCompanyUser, ENTITIES),
    route("GET", "/api/burgee/apps/{appId}/audit", ListAudit, READ),
    ]
};

/// What a path and a method come to.
#[derive(Debug)]
pub(in crate::origin) enum Found {
    /// A route, with the decoded values of its parameters.
    Route(&'static Route, Parameters),
    /// The path is there, with these methods only.
    Methods(String),
    /// The path means nothing.
    Nothing,
    /// A part of the path is not encoded UTF-8.
    Undecodable,
}

/// Values of `{parameters}`.
pub(in crate::origin) type Parameters = Vec<(&'static str, String)>;

/// Finds the route of a raw path; one slash at its end is let pass.
pub(in crate::origin) fn find(method: &str, path: &str) -> Found {
    let path = path.strip_suffix('/').unwrap_or(path);
    // Of a path that fits several templates, the one that says most by itself counts.
    let mut allowed: Vec<&str> = Vec::new();
    let mut template = None;
    for route in ROUTES {
        let Some(raw) = fit(route.path, path) else { continue };
        if *template.get_or_insert(route.path) != route.path {
            continue;
        }
        if route.method == method {
            let decode = |(name, raw): (&'static str, &str)| Some((name, decode_segment(raw)?));
            return match raw.into_iter().map(decode).collect() {
                Some(parameters) => Found::Route(route, parameters),
                None => Found::Undecodable,
            };
        }
        // `HEAD` goes with `GET`.
        allowed.push(if route.method == "GET" { "GET, HEAD" } else { route.method });
    }
    if allowed.is_empty() { Found::Nothing } else { Found::Methods(allowed.join(", ")) }
}

/// The template of a raw path, whatever the method.
pub(in crate::origin) fn template(path: &str) -> Option<&'static str> {
    let path = path.strip_suffix('/').unwrap_or(path);
    ROUTES.iter().map(|route| route.path).find(|template| fit(template, path).is_some())
}

/// The raw values of a template's parameters, if the path fits it.
fn fit<'a>(template: &'static str, path: &'a str) -> Option<Vec<(&'static str, &'a str)>> {
    let mut parameters = Vec::new();
    let mut parts = path.split('/');
    for expected in template.split('/') {
        let part = parts.next()?;
        match expected.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
            Some(_) if part.is_empty() => return None,
            Some(name) => parameters.push((name, part)),
            None if part == expected => {}
            None => return None,
        }
    }
    parts.next().is_none().then_some(parameters)
}

mod percent {
    /// Undoes `%XX`. A `+` is a plus here, other than in a query.
    pub(super) fn decode_segment(text: &str) -> Option<String> {
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text.as_bytes();
        while let Some((&byte, behind)) = rest.split_first() {
            rest = behind;
            if byte != b'%' {
                bytes.push(byte);
                continue;
            }
            let (digits, behind) = rest.split_at_checked(2)?;
            let digit = |byte: u8| char::from(byte).to_digit(16);
            bytes.push((digit(digits[0])? * 16 + digit(digits[1])?) as u8);
            rest = behind;
        }
        String::from_utf8(bytes).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn found(method: &str, path: &str) -> (Operation, Vec<String>) {
        match find(method, path) {
            Found::Route(route, parameters) => {
                (route.operation, parameters.into_iter().map(|(_, value)| value).collect())
            }
            other => panic!("{method} {path}: {other:?}"),
        }
    }

    #[test]
    fn segments_are_decoded_once_and_each_by_itself() {
        let path = "/api/apps/ap1/envs/en1/companies/acme%2Feu%201%25%20%C3%BC+x/flags";
        let (operation, parameters) = found("PATCH", path);
        assert_eq!(operation, Operation::UpdateCompanyFlags);
        assert_eq!(parameters, ["ap1", "en1", "acme/eu 1% ü+x"]);
        let (_, parameters) = found("GET", "/api/apps/ap1/users/a%252Fb/flags");
        assert_eq!(parameters[1], "a%2Fb");
        for broken in ["%", "%2", "%zz", "%ff", "%+1"] {
            let path = format!("/api/apps/{broken}");
            assert!(matches!(find("GET", &path), Found::Undecodable), "{broken}");
        }
    }

    #[test]
    fn words_count_before_parameters() {
        let (operation, _) = found("PATCH", "/api/apps/ap1/flags/specific-targets/en1");
        assert_eq!(operation, Operation::UpdateBulkFlagSpecificTargets);
        let (operation, _) = found("PATCH", "/api/apps/ap1/flags/specific-targets");
        assert_eq!(operation, Operation::UpdateFlag);
    }

    #[test]
    fn other_methods_are_told_and_other_paths_are_not_there() {
        match find("DELETE", "/api/apps/ap1/flags") {
            Found::Methods(allowed) => assert_eq!(allowed, "GET, HEAD, POST"),
            other => panic!("{other:?}"),
        }
        for path in ["/", "/api", "/api/apps//flags", "/api/apps/a/flags/b/c/d/e", "/API/apps"] {
            assert!(matches!(find("GET", path), Found::Nothing), "{path}");
        }
        found("GET", "/api/apps/");
    }

    #[test]
    fn every_route_is_found_by_its_own_template_and_does_something_of_its_own() {
        let mut operations = HashSet::new();
        for route in ROUTES {
            assert_eq!(found(route.method, route.path).0, route.operation);
            assert!(operations.insert(route.operation), "{:?} twice", route.operation);
        }
    }
}
