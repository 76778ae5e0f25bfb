-- Batches: a flag, exact counts, and the sweep behind them.

-- name: insert_batch
INSERT INTO batches (id, tenant, mode, created_at) VALUES (?, ?, ?, ?)

-- name: get_batch
SELECT id, created_at, sealed_at, paused_at, cancelled_at FROM batches WHERE id = ? AND tenant = ? AND mode = ?

-- name: sums
SELECT sum(queued), sum(deferred), sum(processing), sum(sending), sum(uncertain), sum(sent), sum(delivered), sum(bounced), sum(failed), sum(cancelled), sum(sandbox),
       sum(exposed), max(last_settled_at)
FROM counts WHERE scope = ?

-- name: cancel_batch
UPDATE batches SET cancelled_at = ?, swept = 0 WHERE id = ? AND cancelled_at IS NULL

-- name: exposed_rows
SELECT id FROM queue WHERE batch = ? AND status IN {step:stop} AND exposed = 1

-- name: unswept
SELECT id FROM batches WHERE cancelled_at IS NOT NULL AND swept = 0 LIMIT 1

-- name: sweep_rows
SELECT id FROM queue WHERE batch = ? AND status IN {step:cancel} ORDER BY id LIMIT ?

-- name: swept
UPDATE batches SET swept = 1 WHERE id = ?
