-- What is no longer kept. Readings walk by id in slices; each delete looks at its row once more.

-- name: page
SELECT max(id), min(created_at) FROM (SELECT id, created_at FROM messages WHERE id > ? ORDER BY id LIMIT ?)

-- name: with_body
SELECT id, submission, tenant, created_at, status IS NOT NULL AND settled_at <= ? FROM messages
WHERE id > ? AND id <= ? AND personal IS NOT NULL ORDER BY id

-- name: with_any
SELECT id, submission, tenant, created_at, status IS NOT NULL AND settled_at <= ? AND personal IS NULL FROM messages
WHERE id > ? AND id <= ? ORDER BY id

-- name: with_events
SELECT id, submission, tenant, created_at, status IS NOT NULL AND settled_at <= ? FROM messages m
WHERE id > ? AND id <= ? AND EXISTS (SELECT 1 FROM events WHERE message = m.id) ORDER BY id

-- name: drop_body
UPDATE messages SET personal = NULL WHERE id = ? AND status IS NOT NULL AND settled_at <= ?

-- name: is_settled
SELECT tenant, mode, status FROM messages WHERE id = ? AND status IS NOT NULL AND settled_at <= ?

-- name: drop_message
DELETE FROM messages WHERE id = ? AND personal IS NULL

-- name: drop_recipients
DELETE FROM recipients WHERE message = ?

-- name: drop_events
DELETE FROM events WHERE message = ?

-- name: submissions
SELECT id, week, created_at, content FROM submissions WHERE id > ? ORDER BY id LIMIT ?

-- name: empty_submission
UPDATE submissions SET content = ? WHERE id = ?

-- name: drop_submission
DELETE FROM submissions WHERE id = ?

-- name: keys
SELECT created_at, tenant, mode, dialect, key, ids FROM idempotency
WHERE created_at < ? AND (created_at, tenant, mode, dialect, key) > (?, ?, ?, ?, ?) ORDER BY created_at, tenant, mode, dialect, key LIMIT ?

-- name: is_unsettled
SELECT 1 FROM messages WHERE id = ? AND (status IS NULL OR settled_at > ?)

-- name: drop_key
DELETE FROM idempotency WHERE tenant = ? AND mode = ? AND dialect = ? AND key = ? AND created_at = ?

-- name: blobs
SELECT used_at, tenant, sha256 FROM blobs WHERE used_at < ? AND (used_at, tenant, sha256) > (?, ?, ?) ORDER BY used_at, tenant, sha256 LIMIT ?

-- name: drop_blob
DELETE FROM blobs WHERE tenant = ? AND sha256 = ? AND used_at = ?

-- name: mark
SELECT value FROM meta WHERE key = ?

-- name: set_mark
INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value
