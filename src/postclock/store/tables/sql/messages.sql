-- Messages as their senders and the operator read them; the list's own statements are put together in browse.py.

-- name: find_key
SELECT fingerprint, ids FROM idempotency WHERE tenant = ? AND mode = ? AND dialect = ? AND key = ?

-- name: put_blob
INSERT INTO blobs (tenant, sha256, content, used_at) VALUES (?, ?, ?, ?)
ON CONFLICT (tenant, sha256) DO UPDATE SET used_at = excluded.used_at

-- name: timing
SELECT m.due_at, coalesce(q.handed_at, m.departed_at) FROM messages m LEFT JOIN queue q ON q.id = m.id WHERE m.id = ?

-- name: recipients
SELECT n, address, state, reply, at FROM recipients WHERE message = ? AND week = ? ORDER BY n

-- name: events
SELECT n, type, at, recipient, metadata FROM events WHERE message = ? AND week = ? ORDER BY n

-- name: is_marked
SELECT 1 FROM page_marks WHERE api_key = ? AND filter = ? LIMIT 1

-- name: mark
SELECT last_id FROM page_marks WHERE api_key = ? AND filter = ? AND page = ? AND at > ?

-- name: set_mark
INSERT INTO page_marks (api_key, filter, page, last_id, at) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (api_key, filter, page) DO UPDATE SET last_id = excluded.last_id, at = excluded.at

-- name: drop_marks
DELETE FROM page_marks WHERE api_key = ? AND filter = ?

-- name: drop_old_marks
DELETE FROM page_marks WHERE at < ?

-- name: parked
-- Of one tenant and for one reason, or with NULL of any.
SELECT id, week, tenant, due_at, status, coalesce(reason, '') FROM queue
WHERE ready_at IS NULL AND owner IS NULL AND (CAST(? AS bigint) IS NULL OR tenant = ?) AND (CAST(? AS text) IS NULL OR reason = ?)
ORDER BY due_at, id
