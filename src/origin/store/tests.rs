//! The store by itself.

use std::time::Duration;

use serde_json::json;

use super::*;
use crate::model::KeyClass;
use crate::origin::keys::{NewKey, sha256};
use crate::origin::model::{
    Access, App, AppId, Condition, EntityKind, Environment, EnvironmentId, FlagKeyFormat, Id,
    Percentage, Rule, Scope, Scopes, StageId, Variant,
};
use crate::time::Timestamp;

const NOW: Timestamp = Timestamp(1_780_000_000_000);

struct Scene {
    folder: tempfile::TempDir,
    store: Store,
    clock: Clock,
    app: App,
    production: Environment,
    staging: Environment,
}

impl Scene {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::frozen(NOW);
        let store = Store::open(&folder.path().join("origin.db"), clock.clone()).unwrap();
        let (app, production, staging) = store
            .write(Actor::CommandLine, |writer| {
                let app = writer.create_app("Shop", FlagKeyFormat::KebabCaseLower, false)?;
                let keys = NewKeys::random("Production")?;
                let production = writer.create_environment(&app.id, "Production", true, &keys)?;
                let keys = NewKeys::random("Staging")?;
                let staging = writer.create_environment(&app.id, "Staging", false, &keys)?;
                for key in ["checkout", "search"] {
                    let flag =
                        NewFlag { key: key.to_owned(), name: key.to_owned(), ..NewFlag::default() };
                    writer.create_flag(&app.id, &flag)?;
                }
                Ok((app, production, staging))
            })
            .await
            .unwrap();
        Self { folder, store, clock, app, production, staging }
    }

    async fn write<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Writer<'_>, &AppId) -> Stored<T> + Send + 'static,
    ) -> Stored<T> {
        let app = self.app.id.clone();
        self.store.write(Actor::CommandLine, move |writer| change(writer, &app)).await
    }

    async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Reader<'_>, &AppId) -> Stored<T> + Send + 'static,
    ) -> T {
        let app = self.app.id.clone();
        self.store.read(move |reader| look(reader, &app)).await.unwrap()
    }

    fn version(&self, environment: &EnvironmentId) -> u64 {
        self.store.feed().numbers(environment).unwrap().state
    }

    async fn list(&self, flag: &str, company: &str, listed: bool) -> Stored<u64> {
        let here = self.production.id.clone();
        let changes = [target(flag, company, listed)];
        self.write(move |writer, app| {
            writer.change_targets(app, &here, &changes, Some("why"), false)
        })
        .await
    }
}

fn target(flag: &str, company: &str, listed: bool) -> TargetChange {
    TargetChange {
        path: "updates.0".to_owned(),
        flag: flag.to_owned(),
        kind: EntityKind::Company,
        entity: company.to_owned(),
        listed,
    }
}

fn needs_flag(flag: &str) -> TargetingChange {
    let condition = Condition::Flag { flag: flag.to_owned(), enabled: true };
    TargetingChange { rules: Some(vec![Rule::of(vec![condition])]), ..TargetingChange::default() }
}

#[tokio::test]
async fn a_change_raises_the_version_of_the_environments_it_touches_and_is_told() {
    let scene = Scene::new().await;
    let (before, other) = (scene.version(&scene.production.id), scene.version(&scene.staging.id));
    let mut feed = scene.store.feed();
    let known = feed.numbers(&scene.production.id);
    let version = scene.list("checkout", "acme", true).await.unwrap();
    assert_eq!(version, before + 1);
    feed.changed(&scene.production.id, known).await;
    assert_eq!(scene.version(&scene.production.id), version);
    assert_eq!(scene.version(&scene.staging.id), other);
    assert_eq!(scene.list("checkout", "acme", true).await.unwrap(), version, "nothing new");
    assert_eq!(scene.list("checkout", "acme", false).await.unwrap(), version + 1);
}

#[tokio::test]
async fn what_fails_leaves_nothing_behind_and_harms_nobody_beside_it() {
    let scene = Scene::new().await;
    let before = scene.version(&scene.production.id);
    let here = scene.production.id.clone();
    let changes = [target("checkout", "acme", true), target("nope", "acme", true)];
    let failing =
        scene.write(move |writer, app| writer.change_targets(app, &here, &changes, None, false));
    let panicking = scene.write(|writer, app| -> Stored<()> {
        writer.create_stage(
            app,
            &StageChange { name: Some("Lost".to_owned()), ..Default::default() },
        )?;
        panic!("on purpose")
    });
    let (failed, panicked, listed) =
        tokio::join!(failing, panicking, scene.list("search", "globex", true));
    let StoreError::Invalid(issues) = failed.unwrap_err() else { panic!("another error") };
    assert_eq!(issues[0].0, "updates.0.flagKey");
    assert!(matches!(panicked, Err(StoreError::Panicked)));
    assert_eq!(listed.unwrap(), before + 1);
    let (state, stages) = scene
        .read(|reader, app| {
            let here = reader.find_environment(app, "production")?;
            Ok((reader.environment_state(&here.id)?, reader.stages(app)?))
        })
        .await;
    assert_eq!(state.flags[0].targeting.company_ids, Vec::<String>::new());
    assert_eq!(state.flags[1].targeting.company_ids, ["globex"]);
    assert!(stages.iter().all(|stage| stage.name != "Lost"));
}

#[tokio::test]
async fn concurrent_writers_each_get_a_version_of_their_own() {
    let scene = Scene::new().await;
    let before = scene.version(&scene.production.id);
    let writes = (0..200).map(|n| {
        let (store, app, here) =
            (scene.store.clone(), scene.app.id.clone(), scene.production.id.clone());
        tokio::spawn(async move {
            let changes = [target("checkout", &format!("company-{n:03}"), true)];
            let write = store.write(Actor::CommandLine, move |writer| {
                writer.change_targets(&app, &here, &changes, None, false)
            });
            write.await.unwrap()
        })
    });
    let mut versions = Vec::new();
    for write in writes.collect::<Vec<_>>() {
        versions.push(write.await.unwrap());
    }
    versions.sort_unstable();
    assert_eq!(versions, (before + 1..=before + 200).collect::<Vec<_>>());
    let here = scene.production.id.clone();
    let state = scene.read(move |reader, _| reader.environment_state(&here)).await;
    assert_eq!(state.flags[0].targeting.company_ids.len(), 200);
    assert_eq!((state.version, state.flags[0].targeting.version), (before + 200, 201));
}

#[tokio::test]
async fn what_another_process_writes_is_noticed() {
    let scene = Scene::new().await;
    let path = scene.folder.path().join("origin.db");
    let other = Store::open(&path, Clock::frozen(NOW)).unwrap();
    let mut feed = scene.store.feed();
    let known = feed.numbers(&scene.production.id);
    let (app, here) = (scene.app.id.clone(), scene.production.id.clone());
    let changes = [target("checkout", "acme", true)];
    let version = other
        .write(Actor::CommandLine, move |writer| {
            writer.change_targets(&app, &here, &changes, None, false)
        })
        .await
        .unwrap();
    let told = feed.changed(&scene.production.id, known);
    tokio::time::timeout(Duration::from_secs(60), told).await.unwrap();
    assert_eq!(scene.version(&scene.production.id), version);
}

#[tokio::test]
async fn a_database_is_opened_again_as_it_was_left() {
    let scene = Scene::new().await;
    let version = scene.list("checkout", "acme", true).await.unwrap();
    let Scene { folder, store, production, .. } = scene;
    drop(store);
    let store = Store::open(&folder.path().join("origin.db"), Clock::frozen(NOW)).unwrap();
    assert_eq!(store.feed().numbers(&production.id).unwrap().state, version);
}

#[tokio::test]
async fn a_database_of_a_later_version_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("origin.db");
    drop(Store::open(&path, Clock::frozen(NOW)).unwrap());
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let error = Store::open(&path, Clock::frozen(NOW)).unwrap_err();
    assert!(matches!(error, OpenError::Newer { found: 99, .. }), "{error}");
}

#[tokio::test]
async fn rotated_keys_overlap_for_as_long_as_they_were_given() {
    let scene = Scene::new().await;
    let here = scene.production.id.clone();
    let old = scene.read({
        let here = here.clone();
        move |reader, _| reader.sdk_access(&here)
    });
    let old = old.await.1.unwrap();
    let numbers = scene.store.feed().numbers(&here).unwrap();
    let grace = Duration::from_secs(60);
    let new = {
        let here = here.clone();
        scene.write(move |writer, app| writer.rotate_key(app, &here, KeyClass::Secret, grace))
    };
    let new = new.await.unwrap();
    let after = scene.store.feed().numbers(&here).unwrap();
    assert_eq!((after.state, after.keys), (numbers.state, numbers.keys + 1));
    let opens = async |key: &str, now: Timestamp| {
        let hash = sha256(key.as_bytes());
        scene.read(move |reader, _| reader.environment_of_key(&hash, now)).await.is_some()
    };
    assert!(opens(&old, NOW).await && opens(new.expose(), NOW).await);
    let later = Timestamp(NOW.0 + 60_000);
    assert!(!opens(&old, later).await && opens(new.expose(), later).await);
    assert!(!opens("sec_prod_unknown", NOW).await);
    // The last rotation says how long whatever was there before holds.
    let rotate = async |grace: u64| {
        let (here, grace) = (scene.production.id.clone(), Duration::from_secs(grace));
        let rotate = move |writer: &mut Writer<'_>, app: &AppId| {
            writer.rotate_key(app, &here, KeyClass::Secret, grace)
        };
        scene.write(rotate).await.unwrap()
    };
    let third = rotate(3_600).await;
    assert!(!opens(&old, later).await, "a longer grace prolongs nothing");
    assert!(opens(new.expose(), later).await);
    let fourth = rotate(0).await;
    for ended in [&old, new.expose(), third.expose()] {
        assert!(!opens(ended, NOW).await);
    }
    assert!(opens(fourth.expose(), later).await);
}

#[tokio::test]
async fn keys_whose_seal_was_lost_are_counted_and_not_shown() {
    let scene = Scene::new().await;
    let database = scene.folder.path().join("origin.db");
    assert_eq!(scene.read(|reader, _| reader.unreadable_keys()).await, 0);
    std::fs::remove_file(seal::path_beside(&database)).unwrap();
    let store = Store::open(&database, scene.clock.clone()).unwrap();
    let here = scene.production.id.clone();
    let look =
        move |reader: &Reader<'_>| Ok((reader.unreadable_keys()?, reader.sdk_access(&here)?.1));
    assert_eq!(store.read(look).await.unwrap(), (2, None));
}

#[tokio::test]
async fn no_key_can_be_read_from_the_files_of_the_database() {
    let scene = Scene::new().await;
    let here = scene.production.id.clone();
    let (publishable, secret) = scene.read(move |reader, _| reader.sdk_access(&here)).await;
    let api = NewKey::of_api().unwrap();
    let here = scene.production.id.clone();
    let (kept, rotated) = scene
        .write({
            let api = api.clone();
            move |writer, app| {
                let kept =
                    writer.create_api_key(app, "CI", &Scopes::of([Scope::CreateFlag]), &api)?;
                let grace = Duration::from_secs(60);
                Ok((kept, writer.rotate_key(app, &here, KeyClass::Secret, grace)?))
            }
        })
        .await
        .unwrap();
    let found = scene.read({
        let hash = api.sha256;
        move |reader, _| reader.api_key(&hash)
    });
    assert_eq!(found.await.unwrap().id, kept.id);
    let mut files = 0;
    for entry in std::fs::read_dir(scene.folder.path()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        files += 1;
        for key in [api.expose(), secret.as_deref().unwrap(), rotated.expose()] {
            let random = &key.as_bytes()[key.len() - 16..];
            let readable = bytes.windows(16).any(|part| part == random);
            assert!(!readable, "{} holds a key", path.display());
        }
        if path.extension().is_some_and(|e| e == "db-wal" || e == "db") && bytes.len() > 4096 {
            let seen = bytes.windows(publishable.len()).any(|part| part == publishable.as_bytes());
            assert!(
                seen || path.extension().is_some_and(|e| e == "db"),
                "the search finds nothing"
            );
        }
    }
    assert!(files >= 3, "a database, its log, and its sealing key");
}

#[tokio::test]
async fn a_revoked_api_key_opens_nothing() {
    let scene = Scene::new().await;
    let key = NewKey::of_api().unwrap();
    let hash = key.sha256;
    let kept = scene
        .write(move |writer, app| writer.create_api_key(app, "CI", &Scopes::of([]), &key))
        .await
        .unwrap();
    assert!(scene.read(move |reader, _| reader.api_key(&hash)).await.is_some());
    let id = kept.id.to_string();
    scene.write(move |writer, app| writer.revoke_api_key(app, &id)).await.unwrap();
    assert!(scene.read(move |reader, _| reader.api_key(&hash)).await.is_none());
    let revoked = scene.read(|reader, app| {
        reader.api_keys(app).map(|keys| keys.iter().map(|key| key.revoked_at).collect::<Vec<_>>())
    });
    assert_eq!(revoked.await, [Some(NOW)]);
}

#[tokio::test]
async fn flags_cannot_depend_on_themselves_or_over_too_many_steps() {
    let scene = Scene::new().await;
    let here = scene.production.id.clone();
    let set = async |flag: &'static str, change: TargetingChange| {
        let here = here.clone();
        scene.write(move |writer, app| writer.set_targeting(app, &here, flag, &change, None)).await
    };
    set("checkout", needs_flag("search")).await.unwrap();
    for (flag, on) in [("search", "checkout"), ("search", "search"), ("search", "nope")] {
        let error = set(flag, needs_flag(on)).await.unwrap_err();
        assert!(matches!(error, StoreError::Invalid(_)), "{flag} on {on}: {error}");
    }
}

#[tokio::test]
async fn a_stage_brings_its_targeting_and_keeps_who_is_listed() {
    let scene = Scene::new().await;
    scene.list("checkout", "acme", true).await.unwrap();
    let here = scene.production.id.clone();
    let rule = Rule { percentage: Percentage::new(10.0).unwrap(), ..Rule::of(vec![]) };
    let access = Access { everyone: false, segments: vec![], rules: vec![rule] };
    let expected = access.clone();
    let flag = scene.write(move |writer, app| {
        let beta = writer.stages(app)?.into_iter().find(|stage| stage.name == "Beta").unwrap();
        let targeting = [(here.clone(), Some(access))].into_iter().collect();
        writer.update_stage(app, &beta.id, StageChange { targeting, ..Default::default() })?;
        let change = FlagChange { stage: Some(beta.id), ..FlagChange::default() };
        let flag = writer.update_flag(app, "checkout", &change)?;
        Ok((flag.clone(), writer.targeting(&here, &flag.id)?))
    });
    let (flag, targeting) = flag.await.unwrap();
    assert_eq!(flag.stage.unwrap().name, "Beta");
    assert_eq!(targeting.access, expected);
    assert_eq!(targeting.company_ids, ["acme"]);
    let unknown = FlagChange { stage: Some(StageId::random().unwrap()), ..FlagChange::default() };
    let refused = scene.write(move |writer, app| writer.update_flag(app, "checkout", &unknown));
    assert!(matches!(refused.await, Err(StoreError::Invalid(_))));
}

#[tokio::test]
async fn every_change_is_in_the_audit_log_once() {
    let scene = Scene::new().await;
    let before = scene.read(|reader, app| reader.audit(app, None, 1_000)).await.len();
    scene.list("checkout", "acme", true).await.unwrap();
    scene.list("checkout", "acme", true).await.unwrap();
    scene
        .write(|writer, app| {
            let variants = [Variant { key: "a".to_owned(), payload: Some("5.0".to_owned()) }];
            writer.set_variants(app, "checkout", &variants)?;
            writer.set_variants(app, "checkout", &variants)
        })
        .await
        .unwrap();
    let entries = scene.read(|reader, app| reader.audit(app, None, 1_000)).await;
    assert_eq!(entries.len() - before, 2, "what changes nothing leaves no entry");
    let [variants, targets, ..] = &entries[..] else { panic!("too few entries") };
    assert_eq!(variants.operation, "flag.variants");
    assert_eq!(
        (targets.operation.as_str(), targets.subject.as_str()),
        ("targeting.targets", "checkout")
    );
    assert_eq!(targets.description.as_deref(), Some("why"));
    assert_eq!(targets.change, json!([{"companyId": "acme", "listed": true}]));
    assert_eq!(targets.version, Some(scene.version(&scene.production.id) - 1));
    assert_eq!((targets.at, targets.actor.as_str()), (NOW, "command-line"));
    scene.clock.set(Timestamp(NOW.0 + 1));
}

#[tokio::test]
async fn deleting_a_company_takes_it_and_its_own_users_off_all_lists() {
    let scene = Scene::new().await;
    scene.list("checkout", "acme", true).await.unwrap();
    let here = scene.production.id.clone();
    let before = scene.version(&here);
    let left = scene.write(move |writer, app| {
        for (company, user) in [("acme", "ada"), ("acme", "both"), ("globex", "both")] {
            writer.set_membership(app, &here, company, user, true)?;
        }
        writer.delete_entity(app, &here, EntityKind::Company, "acme", true)?;
        let again = writer.delete_entity(app, &here, EntityKind::Company, "acme", true);
        assert!(matches!(again, Err(StoreError::NotFound(_))));
        let left = writer.entities(&here, EntityKind::User, ("", 10))?;
        let flag = writer.flag(app, "checkout")?;
        Ok((left, writer.targeting(&here, &flag.id)?))
    });
    let (left, targeting) = left.await.unwrap();
    assert_eq!(left.iter().map(|user| user.id.as_str()).collect::<Vec<_>>(), ["both"]);
    assert_eq!(targeting.company_ids, Vec::<String>::new());
    assert_eq!(scene.version(&scene.production.id), before + 1);
}
