-- What a month costs, of the tenant and of each of its keys; and the test recipients, whose mail costs nothing.

ALTER TABLE usage ADD COLUMN cost bigint NOT NULL DEFAULT 0;                -- micro-dollars, as of each hand-off
ALTER TABLE usage ADD COLUMN free bigint NOT NULL DEFAULT 0;                -- to verified test recipients: in neither n nor cost

CREATE TABLE usage_keys (
    tenant  bigint NOT NULL,
    month   integer NOT NULL,
    api_key bigint NOT NULL,
    n       bigint NOT NULL,
    cost    bigint NOT NULL,
    PRIMARY KEY (tenant, month, api_key)
) WITH (fillfactor = 50);

CREATE TABLE test_recipients (
    id          bigint PRIMARY KEY,
    tenant      bigint NOT NULL,
    address     text NOT NULL,                                        -- in compared form
    email       text NOT NULL,                                        -- as it was given
    created_at  bigint NOT NULL,
    mailed_at   bigint NOT NULL,
    verified_at bigint,
    UNIQUE (tenant, address)
);
