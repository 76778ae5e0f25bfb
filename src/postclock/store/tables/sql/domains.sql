-- Sending domains and their DKIM keys. {columns} are the domain's, in the order that domains.py reads.

-- name: domain
SELECT {columns} FROM domains WHERE tenant = ? AND domain = ?

-- name: domain_of_any
-- The one it is live for; or else the one who asked first.
SELECT {columns} FROM domains WHERE domain = ? ORDER BY verified_at IS NULL, created_at, tenant LIMIT 1

-- name: domains
SELECT {columns} FROM domains WHERE CAST(? AS bigint) IS NULL OR tenant = ? ORDER BY domain, created_at, tenant

-- name: keys
SELECT id, selector, algorithm, sealed, record, published_at FROM dkim_keys WHERE tenant = ? AND domain = ? AND retired_at IS NULL ORDER BY id

-- name: live_elsewhere
SELECT 1 FROM domains WHERE domain = ? AND verified_at IS NOT NULL AND tenant <> ?

-- name: is_verified
SELECT 1 FROM domains WHERE tenant = ? AND domain = ? AND verified_at IS NOT NULL

-- name: insert_domain
INSERT INTO domains (tenant, domain, created_at, verified_at, trusted) VALUES (?, ?, ?, ?, ?)

-- name: insert_key
INSERT INTO dkim_keys (id, tenant, domain, selector, algorithm, sealed, record, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)

-- name: set_verified
UPDATE domains SET verified_at = ?, trusted = ? WHERE tenant = ? AND domain = ?

-- name: set_from_name
UPDATE domains SET from_name = ?, updated_at = ? WHERE tenant = ? AND domain = ?

-- name: set_checked
UPDATE domains SET checked_at = ?, updated_at = ?, spf_at = ?, dmarc_at = ? WHERE tenant = ? AND domain = ?

-- name: set_published
UPDATE dkim_keys SET published_at = ? WHERE id = ?

-- name: all_sealed
SELECT id, sealed FROM dkim_keys ORDER BY id

-- name: set_sealed
UPDATE dkim_keys SET sealed = ? WHERE id = ?

-- name: raise_revision
UPDATE tenants SET revision = revision + 1 WHERE id = ?

-- name: set_note
INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value
