-- Tenants and API keys.

-- name: tenant
SELECT id, name, status, revision, settings, created_at FROM tenants WHERE id = ?

-- name: tenant_named
SELECT id, name, status, revision, settings, created_at FROM tenants WHERE name = ?

-- name: tenants
SELECT id, name, status, revision, settings, created_at FROM tenants ORDER BY created_at, id

-- name: insert_tenant
INSERT INTO tenants (name, settings, created_at) VALUES (?, ?, ?) ON CONFLICT (name) DO NOTHING RETURNING id

-- name: set_tenant
-- NULL leaves a value as it is.
UPDATE tenants SET status = coalesce(?, status), settings = coalesce(?, settings), revision = revision + 1 WHERE id = ?

-- name: unpark
-- Some of what is parked for a reason goes on in the state it has: no counts move.
UPDATE queue SET ready_at = CASE WHEN due_at > ? THEN due_at ELSE ? END, reason = NULL
WHERE id IN (SELECT id FROM queue WHERE tenant = ? AND ready_at IS NULL AND owner IS NULL AND reason = ? ORDER BY id LIMIT ?) RETURNING ready_at

-- name: insert_key
INSERT INTO api_keys (id, tenant, hash, prefix, name, dialect, environment, scopes, created_at, last_used_at, expires_at, revoked_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: find_key
SELECT id, tenant, prefix, name, dialect, environment, scopes, created_at, last_used_at, expires_at, revoked_at FROM api_keys WHERE hash = ?

-- name: key
-- Of one tenant, or with NULL of any.
SELECT id, tenant, prefix, name, dialect, environment, scopes, created_at, last_used_at, expires_at, revoked_at FROM api_keys
WHERE id = ? AND (CAST(? AS bigint) IS NULL OR tenant = ?)

-- name: keys
SELECT id, tenant, prefix, name, dialect, environment, scopes, created_at, last_used_at, expires_at, revoked_at FROM api_keys
WHERE CAST(? AS bigint) IS NULL OR tenant = ? ORDER BY created_at, id

-- name: change_key
UPDATE api_keys SET name = coalesce(?, name), scopes = coalesce(?, scopes) WHERE id = ?

-- name: replace_secret
UPDATE api_keys SET hash = ?, prefix = ? WHERE id = ?

-- name: revoke_key
UPDATE api_keys SET revoked_at = coalesce(revoked_at, ?) WHERE id = ?

-- name: used_key
-- A late note of an earlier use changes nothing.
UPDATE api_keys SET last_used_at = ? WHERE id = ? AND (last_used_at IS NULL OR last_used_at < ?)
