-- Webhooks and their deliveries.

-- name: insert
INSERT INTO webhooks (id, tenant, mode, dialect, kind, url, types, active, created_at, updated_at, secret, previous_secret, previous_until, signing_key, public_key)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: endpoint
SELECT {columns} FROM webhooks WHERE tenant = ? AND mode = ? AND dialect = ? AND id = ? AND kind = 'endpoint'

-- name: of_any_kind
SELECT {columns} FROM webhooks WHERE tenant = ? AND mode = ? AND id = ?

-- name: one
SELECT {columns} FROM webhooks WHERE id = ?

-- name: event_settings
SELECT {columns} FROM webhooks WHERE tenant = ? AND mode = ? AND kind = 'event_settings'

-- name: page
SELECT {columns} FROM webhooks
WHERE tenant = ? AND mode = ? AND dialect = ? AND kind = 'endpoint' AND (CAST(? AS smallint) IS NULL OR active = ?) ORDER BY id DESC LIMIT ? OFFSET ?

-- name: count
SELECT count(*) FROM webhooks WHERE tenant = ? AND mode = ? AND dialect = ? AND kind = 'endpoint' AND (CAST(? AS smallint) IS NULL OR active = ?)

-- name: change
UPDATE webhooks SET url = ?, types = ?, active = ?, updated_at = ?, secret = ?, previous_secret = ?, previous_until = ?, signing_key = ?, public_key = ?
WHERE id = ?

-- name: begin_anew
UPDATE webhooks SET failures = 0, failing_since = NULL, retry_at = NULL, disabled_at = NULL, lease_owner = NULL, lease_until = NULL WHERE id = ?

-- name: remove
DELETE FROM webhooks WHERE id = ?

-- name: remove_deliveries
-- In the order of the index: without one, each slice may look at all there are.
DELETE FROM webhook_deliveries WHERE id IN (
    SELECT id FROM webhook_deliveries WHERE (webhook, state) >= (?, 0) AND (webhook, state) < (?, 3) ORDER BY webhook, state, id LIMIT ?
)

-- name: deliveries
-- The newest of each state, and of those the newest: one index serves this and what waits. Compared as rows, or PostgreSQL may take the
-- order from the ids, and walk through everybody's deliveries to find one endpoint's.
SELECT id, webhook, message, week, n, type, at, state, attempts, response_status, reason, settled_at FROM (
    SELECT * FROM (SELECT * FROM webhook_deliveries WHERE (webhook, state) >= (?, 0) AND (webhook, state) < (?, 1)
                   ORDER BY webhook DESC, state DESC, id DESC LIMIT ?) a
    UNION ALL SELECT * FROM (SELECT * FROM webhook_deliveries WHERE (webhook, state) >= (?, 1) AND (webhook, state) < (?, 2)
                   ORDER BY webhook DESC, state DESC, id DESC LIMIT ?) b
    UNION ALL SELECT * FROM (SELECT * FROM webhook_deliveries WHERE (webhook, state) >= (?, 2) AND (webhook, state) < (?, 3)
                   ORDER BY webhook DESC, state DESC, id DESC LIMIT ?) c
) d ORDER BY id DESC LIMIT ?

-- name: replay
-- On from where the last slice ended: what is told meanwhile is not replayed twice.
SELECT id FROM webhook_deliveries WHERE webhook = ? AND state >= ? AND state <= ? AND id >= ? AND id <= ? ORDER BY state, id LIMIT ?

-- name: again
UPDATE webhook_deliveries SET state = 0, attempts = 0, retry_at = NULL, settled_at = NULL WHERE id = ? AND webhook = ? AND state IN (1, 2)

-- name: lose
UPDATE webhook_deliveries SET state = 2, retry_at = NULL, reason = 'its message is no longer kept', settled_at = ? WHERE id = ? AND webhook = ? AND state = 0

-- name: leasable
-- Held by nobody, too long, or by a life that is over. What waits longer than anything may was written before the clock went back. Whoever had a turn last goes last; a tenant, and those that fail, have their share of
-- the turns that a process gives.
SELECT {columns} FROM (
    SELECT u.*, row_number() OVER (PARTITION BY tenant ORDER BY CASE WHEN failures = 0 THEN 0 ELSE 1 END, turn_at, id) AS of_tenant,
           row_number() OVER (PARTITION BY CASE WHEN failures = 0 THEN 0 ELSE 1 END ORDER BY turn_at, id) AS of_kind
    FROM (
        SELECT w.*, CASE WHEN last_failure_at > coalesce(last_success_at, 0) THEN last_failure_at ELSE coalesce(last_success_at, 0) END AS turn_at
        FROM webhooks w
        WHERE w.active = 1 AND (w.retry_at IS NULL OR w.retry_at <= ? OR w.retry_at > ?)
          AND (w.lease_owner IS NULL OR w.lease_until <= ? OR NOT EXISTS (SELECT 1 FROM owners o WHERE o.id = w.lease_owner AND o.epoch = 1))
          AND EXISTS (SELECT 1 FROM webhook_deliveries d WHERE (d.webhook, d.state) >= (w.id, 0) AND (d.webhook, d.state) < (w.id, 1)
                      AND (d.retry_at IS NULL OR d.retry_at <= ? OR d.retry_at > ?) ORDER BY d.webhook, d.state, d.id LIMIT 1 OFFSET 0)
    ) u
) v
WHERE of_tenant + (SELECT count(*) FROM webhooks h WHERE h.tenant = v.tenant AND h.lease_owner = ? AND h.lease_until > ?) <= ?
  AND (failures = 0 OR of_kind + (SELECT count(*) FROM webhooks h WHERE h.failures > 0 AND h.lease_owner = ? AND h.lease_until > ?) <= ?)
ORDER BY CASE WHEN failures = 0 THEN 0 ELSE 1 END, turn_at, id LIMIT ?

-- name: lease
UPDATE webhooks SET lease_owner = ?, lease_until = ? WHERE id = ?

-- name: waiting
-- What failed before stands in the way of what its message has behind it. With the OFFSET PostgreSQL looks that up row by row, and does not
-- join it to everything that waits.
SELECT d.id, d.message, d.attempts FROM webhook_deliveries d
WHERE (d.webhook, d.state) >= (?, 0) AND (d.webhook, d.state) < (?, 1) AND (d.retry_at IS NULL OR d.retry_at <= ? OR d.retry_at > ?)
  AND NOT EXISTS (SELECT 1 FROM webhook_deliveries b WHERE b.webhook = d.webhook AND b.message = d.message AND b.state = 0 AND b.retry_at IS NOT NULL
                  AND b.retry_at > ? AND b.retry_at <= ? AND b.n < d.n LIMIT 1 OFFSET 0)
ORDER BY d.webhook, d.state, d.id LIMIT ?

-- name: told
-- An event without a recipient is told of the message's first.
SELECT q.delivery, q.id, q.week, q.n, m.tenant, m.mode, q.type, q.at,
       coalesce((SELECT e.recipient FROM events e WHERE e.message = q.id AND e.n = q.n AND e.week = q.week), m.rcpt,
                (SELECT r.address FROM recipients r WHERE r.message = q.id AND r.n = 0 AND r.week = q.week), ''),
       (SELECT e.metadata FROM events e WHERE e.message = q.id AND e.n = q.n AND e.week = q.week),
       q.attempts, m.due_at, m.created_at, m.batch, m.status, m.submission, m.personal
FROM (SELECT id AS delivery, message AS id, week, n, type, at, attempts FROM webhook_deliveries WHERE id IN ({ids})) q
{message}

-- name: contents
SELECT id, content FROM submissions WHERE id IN ({ids})

-- name: sizes
SELECT id, length(content) FROM submissions WHERE id IN ({ids})

-- name: mark
UPDATE webhook_deliveries SET state = ?, attempts = ?, retry_at = ?, response_status = ?, reason = ?, settled_at = ? WHERE id = ? AND webhook = ? AND state = 0

-- name: health
UPDATE webhooks SET failures = ?, failing_since = ?, retry_at = ?, last_success_at = ?, last_failure_at = ?, disabled_at = ?, active = ?,
       lease_owner = ?, lease_until = ?
WHERE id = ? AND active = 1 AND lease_owner = ?

-- name: old
SELECT id, at FROM webhook_deliveries ORDER BY id LIMIT ?

-- name: forget
DELETE FROM webhook_deliveries WHERE id = ?

-- name: count_waiting
SELECT count(*) FROM (
    SELECT 1 FROM webhook_deliveries WHERE (webhook, state) >= (?, 0) AND (webhook, state) < (?, 1) ORDER BY webhook, state, id LIMIT ?
) x

-- name: every_id
SELECT id FROM webhooks

-- name: all_sealed
SELECT id, secret, previous_secret, signing_key FROM webhooks ORDER BY id

-- name: set_sealed
UPDATE webhooks SET secret = ?, previous_secret = ?, signing_key = ? WHERE id = ?
