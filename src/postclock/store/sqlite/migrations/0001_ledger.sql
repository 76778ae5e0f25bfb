-- oldest_app: 1
-- The ledger. What waits is small and short-lived (queue); what is history is written twice, at accept and at settle.
-- Times are UTC milliseconds since the epoch. States are the numbers of core/lifecycle.py; NULL in messages.status is "open":
-- a queue row has the state that is shown.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE tenants (
    id         INTEGER PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    status     INTEGER NOT NULL DEFAULT 0 CHECK (status IN (0, 1)),   -- 0 active, 1 suspended
    revision   INTEGER NOT NULL DEFAULT 1,                            -- rises with anything that a prepared mail was made from
    settings   BLOB NOT NULL,                                         -- MessagePack of core.account.TenantSettings
    created_at INTEGER NOT NULL
);

CREATE TABLE api_keys (
    id            INTEGER PRIMARY KEY,
    tenant        INTEGER NOT NULL REFERENCES tenants (id),
    hash          BLOB NOT NULL UNIQUE,                               -- SHA-256 of the secret
    prefix        TEXT NOT NULL,
    name          TEXT NOT NULL,
    dialect       TEXT NOT NULL,
    environment   TEXT NOT NULL,
    scopes        TEXT NOT NULL,                                      -- JSON array, sorted
    created_at    INTEGER NOT NULL,
    last_used_at  INTEGER,
    expires_at    INTEGER,
    revoked_at    INTEGER
);
CREATE INDEX api_keys_tenant ON api_keys (tenant, id);

CREATE TABLE domains (
    tenant      INTEGER NOT NULL REFERENCES tenants (id),
    domain      TEXT NOT NULL,                                        -- lower case, IDNA form
    created_at  INTEGER NOT NULL,
    verified_at INTEGER,
    trusted     INTEGER NOT NULL DEFAULT 0,                           -- on the operator's word, no DNS asked
    PRIMARY KEY (tenant, domain)
) WITHOUT ROWID;
CREATE UNIQUE INDEX domains_live ON domains (domain) WHERE verified_at IS NOT NULL;   -- live for one tenant at a time

CREATE TABLE dkim_keys (
    id          INTEGER PRIMARY KEY,
    tenant      INTEGER NOT NULL,
    domain      TEXT NOT NULL,
    selector    TEXT NOT NULL,
    algorithm   TEXT NOT NULL,                                        -- rsa-sha256, ed25519-sha256
    sealed      BLOB NOT NULL,                                        -- private key, encrypted
    record      TEXT NOT NULL,                                        -- the TXT value to publish
    created_at  INTEGER NOT NULL,
    published_at INTEGER,                                             -- when the DNS was first seen to have it; an Ed25519 key signs from then on
    retired_at  INTEGER,
    UNIQUE (tenant, domain, selector, algorithm)
);

CREATE TABLE templates (
    tenant     INTEGER NOT NULL,
    id         TEXT NOT NULL,                                         -- d-…
    name       TEXT NOT NULL,
    generation TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    deleted_at INTEGER,
    PRIMARY KEY (tenant, id)
) WITHOUT ROWID;
CREATE UNIQUE INDEX templates_name ON templates (tenant, name) WHERE deleted_at IS NULL;

CREATE TABLE template_versions (
    id           INTEGER PRIMARY KEY,
    tenant       INTEGER NOT NULL,
    template     TEXT NOT NULL,
    name         TEXT NOT NULL,
    subject      TEXT NOT NULL,
    preheader    TEXT NOT NULL,
    html         TEXT NOT NULL,
    plain        TEXT NOT NULL,
    plain_given  INTEGER NOT NULL,                                    -- 0: made from the html
    editor       TEXT NOT NULL,
    active       INTEGER NOT NULL CHECK (active IN (0, 1)),
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    deleted_at   INTEGER
);
CREATE INDEX template_versions_template ON template_versions (tenant, template, id);
CREATE UNIQUE INDEX template_versions_active ON template_versions (tenant, template) WHERE active = 1 AND deleted_at IS NULL;

CREATE TABLE suppressions (
    tenant      INTEGER NOT NULL,
    mode        INTEGER NOT NULL CHECK (mode IN (0, 1)),              -- 0 live, 1 test
    address     TEXT NOT NULL,                                        -- compared form
    list        TEXT NOT NULL,                                        -- bounces, spam_reports, unsubscribes
    created_at  INTEGER NOT NULL,
    reason      TEXT NOT NULL,
    bounce_type TEXT NOT NULL,                                        -- hard, soft, block, or empty
    status      TEXT NOT NULL,                                        -- enhanced status code, or empty
    PRIMARY KEY (tenant, mode, address, list)
) WITHOUT ROWID;
CREATE INDEX suppressions_newest ON suppressions (tenant, mode, list, created_at);

CREATE TABLE owners (
    id    INTEGER PRIMARY KEY,
    epoch INTEGER NOT NULL,                                           -- raised by a rescuer: the owner's life is over
    beat  INTEGER NOT NULL,
    node  INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    beat_at    INTEGER NOT NULL                                       -- for people and for the restore check, never for liveness
);

CREATE TABLE batches (
    id           INTEGER PRIMARY KEY,
    tenant       INTEGER NOT NULL,
    mode         INTEGER NOT NULL CHECK (mode IN (0, 1)),
    created_at   INTEGER NOT NULL,
    sealed_at    INTEGER,
    paused_at    INTEGER,
    cancelled_at INTEGER,
    swept        INTEGER NOT NULL DEFAULT 0                           -- a cancelled batch whose rows are all settled
);
CREATE INDEX batches_unswept ON batches (id) WHERE cancelled_at IS NOT NULL AND swept = 0;

-- One row per scope and slot: scope is a batch's id, or for all of a tenant's mail -(2 * tenant + mode) - 1. Sums are exact, single slots may be negative.
CREATE TABLE counts (
    scope      INTEGER NOT NULL,
    slot       INTEGER NOT NULL,
    queued     INTEGER NOT NULL DEFAULT 0,
    deferred   INTEGER NOT NULL DEFAULT 0,
    processing INTEGER NOT NULL DEFAULT 0,
    sending    INTEGER NOT NULL DEFAULT 0,
    uncertain  INTEGER NOT NULL DEFAULT 0,
    sent       INTEGER NOT NULL DEFAULT 0,
    delivered  INTEGER NOT NULL DEFAULT 0,
    bounced    INTEGER NOT NULL DEFAULT 0,
    failed     INTEGER NOT NULL DEFAULT 0,
    cancelled  INTEGER NOT NULL DEFAULT 0,
    sandbox    INTEGER NOT NULL DEFAULT 0,
    exposed    INTEGER NOT NULL DEFAULT 0,                            -- among queued, deferred and processing
    last_settled_at INTEGER,
    PRIMARY KEY (scope, slot)
) WITHOUT ROWID;

CREATE TABLE submissions (
    id         INTEGER PRIMARY KEY,
    week       INTEGER NOT NULL,
    tenant     INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    from_email TEXT NOT NULL,                                         -- compared form, for the list's filter
    subject    TEXT NOT NULL,
    template   TEXT,
    categories TEXT NOT NULL,                                         -- each between two U+001F, for the list's filter
    content    BLOB NOT NULL                                          -- MessagePack of core.message.Submission
);

CREATE TABLE messages (
    id           INTEGER PRIMARY KEY,
    week         INTEGER NOT NULL,
    tenant       INTEGER NOT NULL,
    mode         INTEGER NOT NULL CHECK (mode IN (0, 1)),
    submission   INTEGER NOT NULL,
    batch        INTEGER,
    n_rcpt       INTEGER NOT NULL CHECK (n_rcpt > 0),
    rcpt         TEXT,                                                -- compared form; NULL unless exactly one
    from_email   TEXT,                                                -- this and the subject: only when they differ from the submission's
    subject      TEXT,
    due_at       INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    personal     BLOB,                                                -- MessagePack of core.message.Personalization; NULL once dropped by retention
    status       INTEGER CHECK (status BETWEEN 6 AND 10),             -- NULL: open
    exposed      INTEGER NOT NULL DEFAULT 0,
    departed_at  INTEGER,                                             -- the hand-off (the first depart)
    data_at      INTEGER,
    sent_at      INTEGER,
    delivered_at INTEGER,
    settled_at   INTEGER,
    attempt      INTEGER NOT NULL DEFAULT 0,
    stamp        BLOB,
    reason       TEXT
);
CREATE INDEX messages_batch ON messages (batch, id) WHERE batch IS NOT NULL;
CREATE INDEX messages_tenant ON messages (tenant, mode, id);
CREATE INDEX messages_rcpt ON messages (rcpt, id) WHERE rcpt IS NOT NULL;

CREATE TABLE recipients (
    message INTEGER NOT NULL,
    n       INTEGER NOT NULL,
    week    INTEGER NOT NULL,
    address TEXT NOT NULL,                                            -- compared form; as given in personal
    state   INTEGER NOT NULL CHECK (state BETWEEN 0 AND 10),
    reply   TEXT,
    at      INTEGER,
    PRIMARY KEY (message, n)
) WITHOUT ROWID;                                                      -- only when n_rcpt > 1: recipient and outcome
CREATE INDEX recipients_address ON recipients (address, message);

-- One row per envelope that is still to be sent, waits, is parked, uncertain or awaits settle_after. Deleted at settle.
CREATE TABLE queue (
    id          INTEGER PRIMARY KEY,                                  -- the first envelope of a message has the message's id
    message     INTEGER NOT NULL,
    week        INTEGER NOT NULL,
    tenant      INTEGER NOT NULL,
    mode        INTEGER NOT NULL,
    lane        INTEGER NOT NULL CHECK (lane BETWEEN 0 AND 3),        -- 0 immediate, 1 scheduled, 2 bulk, 3 waits for settle_after
    batch       INTEGER,
    route       TEXT NOT NULL DEFAULT '',
    due_at      INTEGER NOT NULL,
    ready_at    INTEGER,                                              -- NULL while claimed or parked
    status      INTEGER NOT NULL CHECK (status BETWEEN 0 AND 5),
    owner       INTEGER,
    attempt     INTEGER NOT NULL DEFAULT 0,
    exposed     INTEGER NOT NULL DEFAULT 0 CHECK (exposed IN (0, 1)),
    policy      INTEGER NOT NULL DEFAULT 0 CHECK (policy BETWEEN 0 AND 3),  -- uncertain: 0 the tenant's, 1 resend, 2 hold, 3 assume_sent
    deferrals   INTEGER NOT NULL DEFAULT 0,
    tried_at    INTEGER,                                              -- first attempt of this round; give-up counts from here
    handed_at   INTEGER,                                              -- the first depart
    departed_at INTEGER,                                              -- the latest depart
    settle_at   INTEGER,                                              -- when accepted recipients count as delivered; NULL: at once, or none accepted
    stamp       BLOB,
    reason      TEXT,
    CHECK (owner IS NULL OR status IN (0, 1, 2, 3)),
    CHECK (ready_at IS NULL OR owner IS NULL),
    CHECK (status NOT IN (2, 3) OR owner IS NOT NULL)
);
CREATE INDEX queue_due ON queue (lane, tenant, ready_at, id) WHERE ready_at IS NOT NULL;
CREATE INDEX queue_owner ON queue (owner) WHERE owner IS NOT NULL;
CREATE INDEX queue_batch ON queue (batch, id) WHERE batch IS NOT NULL;
CREATE INDEX queue_tenant ON queue (tenant, mode, id);            -- the list of what waits: not through other tenants' rows
CREATE INDEX queue_parked ON queue (tenant, id) WHERE ready_at IS NULL AND owner IS NULL;

CREATE TABLE events (
    message   INTEGER NOT NULL,
    n         INTEGER NOT NULL,                                       -- 1, 2, … in order; 0 is acceptance, read off the message
    week      INTEGER NOT NULL,
    type      TEXT NOT NULL,
    at        INTEGER NOT NULL,
    recipient TEXT,
    metadata  TEXT,                                                   -- a JSON object, or NULL
    PRIMARY KEY (message, n)
) WITHOUT ROWID;

CREATE TABLE usage (
    tenant  INTEGER NOT NULL,
    month   INTEGER NOT NULL,                                         -- 202611
    channel TEXT NOT NULL,
    type    TEXT NOT NULL,
    n       INTEGER NOT NULL,
    PRIMARY KEY (tenant, month, channel, type)
) WITHOUT ROWID;

CREATE TABLE idempotency (
    tenant      INTEGER NOT NULL,
    mode        INTEGER NOT NULL,
    dialect     TEXT NOT NULL,
    key         TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    ids         BLOB NOT NULL,                                        -- MessagePack of [[week, id], …]
    created_at  INTEGER NOT NULL,
    PRIMARY KEY (tenant, mode, dialect, key)
) WITHOUT ROWID;
CREATE INDEX idempotency_age ON idempotency (created_at);

CREATE TABLE blobs (
    tenant     INTEGER NOT NULL,
    sha256     BLOB NOT NULL,
    content    BLOB NOT NULL,
    used_at    INTEGER NOT NULL,
    PRIMARY KEY (tenant, sha256)
);

CREATE TABLE page_marks (
    api_key INTEGER NOT NULL,
    filter  BLOB NOT NULL,
    page    INTEGER NOT NULL,
    last_id INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    PRIMARY KEY (api_key, filter, page)
) WITHOUT ROWID;
