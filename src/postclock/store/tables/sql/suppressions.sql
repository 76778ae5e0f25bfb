-- Suppressions. The index suppressions_newest carries the order and the range of every listing.

-- name: suppress
INSERT INTO suppressions (tenant, mode, address, list, created_at, reason, bounce_type, status) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (tenant, mode, address, list) DO UPDATE
SET created_at = excluded.created_at, reason = excluded.reason, bounce_type = excluded.bounce_type, status = excluded.status

-- name: one
SELECT address, list, created_at, reason, bounce_type, status FROM suppressions WHERE tenant = ? AND mode = ? AND list = ? AND address = ?

-- name: page
SELECT address, list, created_at, reason, bounce_type, status FROM suppressions
WHERE tenant = ? AND mode = ? AND list = ? AND created_at BETWEEN ? AND ? ORDER BY created_at DESC, address DESC LIMIT ? OFFSET ?

-- name: total
SELECT count(*) FROM suppressions WHERE tenant = ? AND mode = ? AND list = ? AND created_at BETWEEN ? AND ?

-- name: remove
DELETE FROM suppressions WHERE tenant = ? AND mode = ? AND list = ? AND address = ?

-- name: remove_some
DELETE FROM suppressions WHERE (tenant, mode, address, list) IN (
    SELECT tenant, mode, address, list FROM suppressions WHERE tenant = ? AND mode = ? AND list = ? ORDER BY created_at LIMIT ?
)
