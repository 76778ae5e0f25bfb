-- What a month costs, of the tenant and of each of its keys; and the test recipients, whose mail costs nothing.

ALTER TABLE usage ADD COLUMN cost INTEGER NOT NULL DEFAULT 0;               -- micro-dollars, as of each hand-off
ALTER TABLE usage ADD COLUMN free INTEGER NOT NULL DEFAULT 0;               -- to verified test recipients: in neither n nor cost

CREATE TABLE usage_keys (
    tenant  INTEGER NOT NULL,
    month   INTEGER NOT NULL,
    api_key INTEGER NOT NULL,
    n       INTEGER NOT NULL,
    cost    INTEGER NOT NULL,
    PRIMARY KEY (tenant, month, api_key)
) WITHOUT ROWID;

CREATE TABLE test_recipients (
    id          INTEGER PRIMARY KEY,
    tenant      INTEGER NOT NULL,
    address     TEXT NOT NULL,                                        -- in compared form
    email       TEXT NOT NULL,                                        -- as it was given
    created_at  INTEGER NOT NULL,
    mailed_at   INTEGER NOT NULL,
    verified_at INTEGER,
    UNIQUE (tenant, address)
);
