-- What is no longer kept. {messages} and its like stand for a week's own partition: nothing else is read or locked.

-- name: page
SELECT max(id), min(created_at) FROM (SELECT id, created_at FROM {messages} WHERE id > $1 ORDER BY id LIMIT $2) AS page

-- name: with_body
SELECT id, submission, tenant, created_at, status IS NOT NULL AND settled_at <= $1 FROM {messages}
WHERE id > $2 AND id <= $3 AND personal IS NOT NULL ORDER BY id

-- name: drop_bodies
UPDATE {messages} SET personal = NULL WHERE id = ANY($1::bigint[]) AND status IS NOT NULL AND settled_at <= $2

-- name: is_kept
-- Whoever has no body is never sent again: the answer "no" stays.
SELECT EXISTS (SELECT 1 FROM {messages} WHERE status IS NULL OR settled_at > $1 OR personal IS NOT NULL)

-- name: has_late
SELECT EXISTS (SELECT 1 FROM {messages} WHERE status IS NULL OR settled_at > $1)

-- name: settled
SELECT tenant, mode, status, count(*) FROM {messages} GROUP BY 1, 2, 3

-- name: submissions
SELECT id, week, created_at, content FROM submissions WHERE id > $1 ORDER BY id LIMIT $2

-- name: empty_submission
UPDATE submissions SET content = $1 WHERE id = $2 AND week = $3

-- name: keys
SELECT created_at, tenant, mode, dialect, key, ids FROM idempotency
WHERE created_at < $1 AND (created_at, tenant, mode, dialect, key) > ($2, $3, $4, $5, $6) ORDER BY created_at, tenant, mode, dialect, key LIMIT $7

-- name: is_unsettled
SELECT EXISTS (SELECT 1 FROM messages WHERE id = ANY($1::bigint[]) AND week = ANY($2::int[]) AND (status IS NULL OR settled_at > $3))

-- name: drop_key
DELETE FROM idempotency WHERE tenant = $1 AND mode = $2 AND dialect = $3 AND key = $4 AND created_at = $5

-- name: blobs
SELECT used_at, tenant, sha256 FROM blobs WHERE used_at < $1 AND (used_at, tenant, sha256) > ($2, $3, $4) ORDER BY used_at, tenant, sha256 LIMIT $5

-- name: drop_blob
DELETE FROM blobs WHERE tenant = $1 AND sha256 = $2 AND used_at = $3

-- name: mark
SELECT value FROM meta WHERE key = $1

-- name: set_mark
INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value

-- name: drop_mark
DELETE FROM meta WHERE key = $1

-- name: pending
-- Partitions whose detaching was interrupted: the parent knows them no longer, but for one more step.
SELECT p.relname::text, c.relname::text FROM pg_inherits i
JOIN pg_class p ON p.oid = i.inhparent JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhdetachpending AND p.relname = ANY($1::text[]) AND p.relnamespace = current_schema()::regnamespace

-- name: loose
SELECT c.relname::text FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace AND c.relname ~ $1 AND i.inhrelid IS NULL ORDER BY 1
