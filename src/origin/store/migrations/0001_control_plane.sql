-- Times are milliseconds since 1970 in UTC. Ids are those that clients see.

CREATE TABLE org (
    id   TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL
) STRICT;

CREATE TABLE app (
    id              TEXT    NOT NULL PRIMARY KEY,
    name            TEXT    NOT NULL UNIQUE,
    demo            INTEGER NOT NULL DEFAULT 0,
    flag_key_format TEXT    NOT NULL,
    created_at      INTEGER NOT NULL
) STRICT;

-- flag_state_version is the number that SDKs see. It only grows, in the transaction that changes something, so a
-- number is never used for two states. keys_version does the same for keys, which SDKs do not see.
CREATE TABLE environment (
    id                 TEXT    NOT NULL PRIMARY KEY,
    app_id             TEXT    NOT NULL REFERENCES app (id) ON DELETE CASCADE,
    name               TEXT    NOT NULL,
    is_production      INTEGER NOT NULL,
    position           INTEGER NOT NULL,
    flag_state_version INTEGER NOT NULL DEFAULT 1,
    keys_version       INTEGER NOT NULL DEFAULT 1,
    UNIQUE (app_id, name)
) STRICT;

CREATE UNIQUE INDEX one_production ON environment (app_id) WHERE is_production;

-- A publishable key is public and stands here as it is. A secret key is here as a hash, which is what it is looked up
-- by, and sealed with a key that is not in this file, since the Management API has to show it.
CREATE TABLE environment_key (
    sha256         BLOB    NOT NULL PRIMARY KEY,
    environment_id TEXT    NOT NULL REFERENCES environment (id) ON DELETE CASCADE,
    class          TEXT    NOT NULL CHECK (class IN ('publishable', 'secret')),
    prefix         TEXT    NOT NULL,
    publishable    TEXT,
    sealed         BLOB,
    created_at     INTEGER NOT NULL,
    expires_at     INTEGER
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX one_current_key ON environment_key (environment_id, class) WHERE expires_at IS NULL;

CREATE TABLE member (
    id    TEXT NOT NULL PRIMARY KEY,
    name  TEXT NOT NULL,
    email TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE stage (
    id       TEXT    NOT NULL PRIMARY KEY,
    app_id   TEXT    NOT NULL REFERENCES app (id) ON DELETE CASCADE,
    name     TEXT    NOT NULL,
    color    TEXT    NOT NULL,
    position INTEGER NOT NULL,
    UNIQUE (app_id, name)
) STRICT;

-- The access that a flag gets when it comes to a stage; none where the stage leaves it alone.
CREATE TABLE stage_targeting (
    stage_id       TEXT NOT NULL REFERENCES stage (id) ON DELETE CASCADE,
    environment_id TEXT NOT NULL REFERENCES environment (id) ON DELETE CASCADE,
    access         TEXT NOT NULL,
    PRIMARY KEY (stage_id, environment_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE segment (
    id     TEXT NOT NULL PRIMARY KEY,
    app_id TEXT NOT NULL REFERENCES app (id) ON DELETE CASCADE,
    name   TEXT NOT NULL,
    kind   TEXT NOT NULL CHECK (kind IN ('all', 'custom')),
    rules  TEXT NOT NULL,
    UNIQUE (app_id, name)
) STRICT;

CREATE TABLE flag (
    id                         TEXT    NOT NULL PRIMARY KEY,
    app_id                     TEXT    NOT NULL REFERENCES app (id) ON DELETE CASCADE,
    key                        TEXT    NOT NULL,
    name                       TEXT    NOT NULL,
    description                TEXT,
    stage_id                   TEXT REFERENCES stage (id),
    owner_id                   TEXT REFERENCES member (id),
    archived                   INTEGER NOT NULL DEFAULT 0,
    permanent                  INTEGER NOT NULL DEFAULT 0,
    secret                     INTEGER NOT NULL DEFAULT 0,
    created_at                 INTEGER NOT NULL,
    rolled_out_to_everyone_at  INTEGER,
    UNIQUE (app_id, key)
) STRICT;

CREATE TABLE variant (
    flag_id  TEXT    NOT NULL REFERENCES flag (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    key      TEXT    NOT NULL,
    payload  TEXT,
    PRIMARY KEY (flag_id, position),
    UNIQUE (flag_id, key)
) STRICT, WITHOUT ROWID;

-- One row for each flag in each environment of its app. access and config are JSON of our own.
CREATE TABLE targeting (
    environment_id TEXT    NOT NULL REFERENCES environment (id) ON DELETE CASCADE,
    flag_id        TEXT    NOT NULL REFERENCES flag (id) ON DELETE CASCADE,
    version        INTEGER NOT NULL DEFAULT 1,
    updated_at     INTEGER NOT NULL,
    access         TEXT    NOT NULL,
    config_version INTEGER NOT NULL DEFAULT 1,
    config         TEXT    NOT NULL,
    PRIMARY KEY (environment_id, flag_id)
) STRICT, WITHOUT ROWID;

-- Companies and users for whom a flag is on. Read in this order when definitions are made; by entity for its flags.
CREATE TABLE target (
    environment_id TEXT NOT NULL,
    flag_id        TEXT NOT NULL,
    kind           TEXT NOT NULL CHECK (kind IN ('company', 'user')),
    entity_id      TEXT NOT NULL,
    PRIMARY KEY (environment_id, flag_id, kind, entity_id),
    FOREIGN KEY (environment_id, flag_id) REFERENCES targeting (environment_id, flag_id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE INDEX target_by_entity ON target (environment_id, kind, entity_id);

-- Companies and users that get a variant of their own.
CREATE TABLE config_target (
    environment_id TEXT NOT NULL,
    flag_id        TEXT NOT NULL,
    kind           TEXT NOT NULL CHECK (kind IN ('company', 'user')),
    entity_id      TEXT NOT NULL,
    variant        TEXT NOT NULL,
    PRIMARY KEY (environment_id, flag_id, kind, entity_id),
    FOREIGN KEY (environment_id, flag_id) REFERENCES targeting (environment_id, flag_id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE INDEX config_target_by_entity ON config_target (environment_id, kind, entity_id);

CREATE TABLE entity (
    environment_id TEXT NOT NULL REFERENCES environment (id) ON DELETE CASCADE,
    kind           TEXT NOT NULL CHECK (kind IN ('company', 'user')),
    id             TEXT NOT NULL,
    name           TEXT,
    attributes     TEXT NOT NULL DEFAULT '{}',
    PRIMARY KEY (environment_id, kind, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE membership (
    environment_id TEXT NOT NULL REFERENCES environment (id) ON DELETE CASCADE,
    company_id     TEXT NOT NULL,
    user_id        TEXT NOT NULL,
    PRIMARY KEY (environment_id, company_id, user_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX membership_by_user ON membership (environment_id, user_id);

CREATE TABLE api_key (
    id           TEXT    NOT NULL PRIMARY KEY,
    app_id       TEXT    NOT NULL REFERENCES app (id) ON DELETE CASCADE,
    name         TEXT    NOT NULL,
    scopes       TEXT    NOT NULL,
    sha256       BLOB    NOT NULL UNIQUE,
    prefix       TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    last_used_at INTEGER,
    revoked_at   INTEGER
) STRICT;

-- Outlives what it speaks of, so nothing here refers to other tables. change never holds a key.
CREATE TABLE audit (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    at             INTEGER NOT NULL,
    actor          TEXT    NOT NULL,
    actor_name     TEXT    NOT NULL,
    app_id         TEXT    NOT NULL,
    environment_id TEXT,
    operation      TEXT    NOT NULL,
    subject        TEXT    NOT NULL,
    version        INTEGER,
    description    TEXT,
    change         TEXT    NOT NULL
) STRICT;

CREATE INDEX audit_by_app ON audit (app_id, id);
