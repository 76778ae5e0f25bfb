-- What the engine reads beside its claims: the content of mail, and what a tenant's mail is prepared from.

-- name: submission
SELECT content FROM submissions WHERE id = ?

-- name: blob
SELECT content FROM blobs WHERE tenant = ? AND sha256 = ?

-- name: version
SELECT {columns} FROM template_versions WHERE id = ? AND tenant = ?

-- name: tenant
SELECT status, revision, settings FROM tenants WHERE id = ?

-- name: domains
SELECT domain FROM domains WHERE tenant = ? AND verified_at IS NOT NULL

-- name: keys
SELECT id, selector, algorithm, sealed, record, published_at FROM dkim_keys WHERE tenant = ? AND domain = ? AND retired_at IS NULL ORDER BY id

-- name: templates
SELECT id FROM templates WHERE tenant = ? AND deleted_at IS NULL AND generation = 'dynamic'

-- name: active
SELECT {columns} FROM template_versions WHERE tenant = ? AND active = 1 AND deleted_at IS NULL
