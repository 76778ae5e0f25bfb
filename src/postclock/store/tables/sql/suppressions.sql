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

-- name: newest
-- Of one list, below a position; not what is on another list with a newer entry (of two of one moment the list that is last by name counts).
SELECT address, list, created_at, reason, bounce_type, status FROM suppressions s
WHERE tenant = ? AND mode = ? AND list = ? AND created_at <= ? AND (created_at, address) < (?, ?) AND NOT EXISTS (
    SELECT 1 FROM suppressions o
    WHERE o.tenant = s.tenant AND o.mode = s.mode AND o.address = s.address AND (o.created_at, o.list) > (s.created_at, s.list)
)
ORDER BY created_at DESC, address DESC LIMIT ?

-- name: total
SELECT count(*) FROM suppressions WHERE tenant = ? AND mode = ? AND list = ? AND created_at BETWEEN ? AND ?

-- name: remove
DELETE FROM suppressions WHERE tenant = ? AND mode = ? AND list = ? AND address = ?

-- name: remove_anywhere
DELETE FROM suppressions WHERE tenant = ? AND mode = ? AND address = ?

-- name: remove_some
DELETE FROM suppressions WHERE (tenant, mode, address, list) IN (
    SELECT tenant, mode, address, list FROM suppressions WHERE tenant = ? AND mode = ? AND list = ? ORDER BY created_at LIMIT ?
)
