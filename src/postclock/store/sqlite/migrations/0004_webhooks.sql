-- Who wants to be told of what, and what is still to be told. Triggers write a row for each event and subscription in the
-- transaction of the event, so that no step can forget it; without a subscription they cost one look at an empty index.

CREATE TABLE webhooks (
    id              INTEGER PRIMARY KEY,
    tenant          INTEGER NOT NULL REFERENCES tenants (id),
    mode            INTEGER NOT NULL CHECK (mode IN (0, 1)),          -- 0 live, 1 test
    dialect         TEXT NOT NULL,
    kind            TEXT NOT NULL,                                    -- endpoint, event_settings
    url             TEXT NOT NULL,
    types           TEXT NOT NULL,                                    -- timeline types, a space before and after each; empty: all
    active          INTEGER NOT NULL CHECK (active IN (0, 1)),
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    secret          BLOB,                                             -- encrypted, as the next two
    previous_secret BLOB,                                             -- signs as well until previous_until
    previous_until  INTEGER,
    signing_key     BLOB,                                             -- private ECDSA key
    public_key      TEXT NOT NULL,
    failures        INTEGER NOT NULL DEFAULT 0,                       -- in a row
    failing_since   INTEGER,
    retry_at        INTEGER,                                          -- nothing is posted before
    last_success_at INTEGER,
    last_failure_at INTEGER,
    disabled_at     INTEGER,
    lease_owner     INTEGER,                                          -- the life that posts to it
    lease_until     INTEGER
);
CREATE INDEX webhooks_active ON webhooks (tenant, mode) WHERE active = 1;
CREATE INDEX webhooks_tenant ON webhooks (tenant, mode, dialect, id);
CREATE UNIQUE INDEX webhooks_event_settings ON webhooks (tenant, mode) WHERE kind = 'event_settings';

CREATE TABLE webhook_deliveries (
    id              INTEGER PRIMARY KEY,                              -- rises: what is told first has the smaller one
    webhook         INTEGER NOT NULL,
    message         INTEGER NOT NULL,
    week            INTEGER NOT NULL,
    n               INTEGER NOT NULL,                                 -- of the event; 0 is the acceptance
    type            TEXT NOT NULL,
    at              INTEGER NOT NULL,
    state           INTEGER NOT NULL DEFAULT 0 CHECK (state BETWEEN 0 AND 2),   -- 0 waiting, 1 delivered, 2 failed
    attempts        INTEGER NOT NULL DEFAULT 0,
    retry_at        INTEGER,                                          -- NULL: as soon as its endpoint may be told
    response_status INTEGER,
    reason          TEXT,
    settled_at      INTEGER
);
CREATE INDEX webhook_deliveries_state ON webhook_deliveries (webhook, state, id);
CREATE INDEX webhook_deliveries_again ON webhook_deliveries (webhook, message) WHERE state = 0 AND retry_at IS NOT NULL;

CREATE TRIGGER events_told AFTER INSERT ON events WHEN EXISTS (SELECT 1 FROM webhooks WHERE active = 1)
BEGIN
    INSERT INTO webhook_deliveries (webhook, message, week, n, type, at)
    SELECT w.id, NEW.message, NEW.week, NEW.n, NEW.type, NEW.at
    FROM messages m CROSS JOIN webhooks w ON w.tenant = m.tenant AND w.mode = m.mode
    WHERE m.id = NEW.message AND w.active = 1 AND (w.types = '' OR instr(w.types, ' ' || NEW.type || ' ') > 0);
END;

CREATE TRIGGER messages_told AFTER INSERT ON messages
WHEN NEW.status IS NULL AND EXISTS (SELECT 1 FROM webhooks WHERE active = 1 AND tenant = NEW.tenant AND mode = NEW.mode)
BEGIN
    INSERT INTO webhook_deliveries (webhook, message, week, n, type, at)
    SELECT w.id, NEW.id, NEW.week, 0, 'processed', NEW.created_at
    FROM webhooks w
    WHERE w.tenant = NEW.tenant AND w.mode = NEW.mode AND w.active = 1 AND (w.types = '' OR instr(w.types, ' processed ') > 0);
END;
