-- Who wants to be told of what, and what is still to be told. Triggers write a row for each event and subscription in the
-- transaction of the event, so that no step can forget it. They run once a statement, also for what is copied.

CREATE TABLE webhooks (
    id              bigint PRIMARY KEY,
    tenant          bigint NOT NULL REFERENCES tenants (id),
    mode            smallint NOT NULL CHECK (mode IN (0, 1)),         -- 0 live, 1 test
    dialect         text NOT NULL,
    kind            text NOT NULL,                                    -- endpoint, event_settings
    url             text NOT NULL,
    types           text NOT NULL,                                    -- timeline types, a space before and after each; empty: all
    active          smallint NOT NULL CHECK (active IN (0, 1)),
    created_at      bigint NOT NULL,
    updated_at      bigint NOT NULL,
    secret          bytea,                                            -- encrypted, as the next two
    previous_secret bytea,                                            -- signs as well until previous_until
    previous_until  bigint,
    signing_key     bytea,                                            -- private ECDSA key
    public_key      text NOT NULL,
    failures        integer NOT NULL DEFAULT 0,                       -- in a row
    failing_since   bigint,
    retry_at        bigint,                                           -- nothing is posted before
    last_success_at bigint,
    last_failure_at bigint,
    disabled_at     bigint,
    lease_owner     bigint,                                           -- the life that posts to it
    lease_until     bigint
) WITH (fillfactor = 50);
CREATE INDEX webhooks_active ON webhooks (tenant, mode) WHERE active = 1;
CREATE INDEX webhooks_tenant ON webhooks (tenant, mode, dialect, id);
CREATE UNIQUE INDEX webhooks_event_settings ON webhooks (tenant, mode) WHERE kind = 'event_settings';

CREATE TABLE webhook_deliveries (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,  -- rises within a message: its steps follow each other
    webhook         bigint NOT NULL,
    message         bigint NOT NULL,
    week            integer NOT NULL,
    n               integer NOT NULL,                                 -- of the event; 0 is the acceptance
    type            text NOT NULL,
    at              bigint NOT NULL,
    state           smallint NOT NULL DEFAULT 0 CHECK (state BETWEEN 0 AND 2),  -- 0 waiting, 1 delivered, 2 failed
    attempts        integer NOT NULL DEFAULT 0,
    retry_at        bigint,                                           -- NULL: as soon as its endpoint may be told
    response_status integer,
    reason          text,
    settled_at      bigint
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX webhook_deliveries_state ON webhook_deliveries (webhook, state, id);
CREATE INDEX webhook_deliveries_again ON webhook_deliveries (webhook, message) WHERE state = 0 AND retry_at IS NOT NULL;

-- LATERAL with LIMIT is looked up row by row: what is new has no statistics, and a plain join may read a whole history.
CREATE FUNCTION tell_of_events() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM webhooks WHERE active = 1) THEN
        INSERT INTO webhook_deliveries (webhook, message, week, n, type, at)
        SELECT w.id, e.message, e.week, e.n, e.type, e.at
        FROM fresh e
        CROSS JOIN LATERAL (SELECT tenant, mode FROM messages WHERE id = e.message AND week = e.week LIMIT 1) m
        JOIN webhooks w ON w.tenant = m.tenant AND w.mode = m.mode
        WHERE w.active = 1 AND (w.types = '' OR strpos(w.types, ' ' || e.type || ' ') > 0)
        ORDER BY e.message, e.n;
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION tell_of_messages() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM webhooks WHERE active = 1) THEN
        INSERT INTO webhook_deliveries (webhook, message, week, n, type, at)
        SELECT w.id, m.id, m.week, 0, 'processed', m.created_at
        FROM fresh m
        JOIN webhooks w ON w.tenant = m.tenant AND w.mode = m.mode
        WHERE m.status IS NULL AND w.active = 1 AND (w.types = '' OR strpos(w.types, ' processed ') > 0)
        ORDER BY m.id;
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER messages_told AFTER INSERT ON messages REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION tell_of_messages();
CREATE TRIGGER events_told AFTER INSERT ON events REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION tell_of_events();
