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
SELECT domain, from_name FROM domains WHERE tenant = ? AND verified_at IS NOT NULL

-- name: keys
SELECT id, selector, algorithm, sealed, record, published_at FROM dkim_keys WHERE tenant = ? AND domain = ? AND retired_at IS NULL ORDER BY id

-- name: templates
SELECT id FROM templates WHERE tenant = ? AND deleted_at IS NULL AND generation <> 'legacy'

-- name: active
SELECT {columns} FROM template_versions WHERE tenant = ? AND active = 1 AND deleted_at IS NULL

-- name: to_redact
-- With how long the content is. It is looked up row by row: in a join a planner without statistics may read all that was ever sent.
SELECT m.id, m.week, m.submission, (SELECT length(s.content) FROM submissions s WHERE s.id = m.submission AND s.week >= m.week)
FROM messages m WHERE m.redact = 2 ORDER BY m.id LIMIT ?

-- name: still_to_redact
-- Opened again since it was looked for, it still has to be made from its content. Whom somebody is at is left for the next time:
-- the locks of mail that is under way come in another order, and each side would wait for the other.
SELECT 1 FROM messages WHERE id = ? AND week = ? AND redact = 2 {unlocked}

-- name: redact_submission
UPDATE submissions SET content = ?, subject = '' WHERE id = ?

-- name: redact_message
-- With nothing left to make it from, it can never be sent again.
UPDATE messages SET personal = NULL, subject = NULL, redact = 3 WHERE id = ? AND week = ?
