-- Batches: made, and read in a few rows.

-- name: insert_batch
INSERT INTO batches (id, tenant, mode, created_at) VALUES (?, ?, ?, ?)

-- name: get_batch
SELECT id, created_at, sealed_at, paused_at, cancelled_at FROM batches WHERE id = ? AND tenant = ? AND mode = ?

-- name: sums
SELECT sum(queued), sum(deferred), sum(processing), sum(sending), sum(uncertain), sum(sent), sum(delivered), sum(bounced), sum(failed), sum(cancelled), sum(sandbox),
       sum(exposed), max(last_settled_at)
FROM counts WHERE scope = ?
