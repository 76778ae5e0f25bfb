-- Accept, claim, depart, record: the path of a mail. Every statement takes the time as a parameter.

-- name: insert_submission
INSERT INTO submissions (id, week, tenant, created_at, from_email, subject, template, categories, content)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: insert_message
INSERT INTO messages (id, week, tenant, mode, submission, batch, n_rcpt, rcpt, from_email, subject, due_at, created_at, personal, status, settled_at, redact)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: insert_recipient
INSERT INTO recipients (message, n, week, address, state) VALUES (?, ?, ?, ?, ?)

-- name: insert_queue
INSERT INTO queue (id, message, week, tenant, mode, lane, batch, due_at, ready_at, status, policy)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, {state:queued}, ?)

-- name: find_key
SELECT fingerprint, ids FROM idempotency WHERE tenant = ? AND mode = ? AND dialect = ? AND key = ?

-- name: insert_key
INSERT INTO idempotency (tenant, mode, dialect, key, fingerprint, ids, created_at) VALUES (?, ?, ?, ?, ?, ?, ?)

-- name: next_tenant
-- A skip scan: the next tenant in a lane with something ready at any time, and its earliest.
SELECT tenant, ready_at FROM queue WHERE lane = ? AND ready_at IS NOT NULL AND tenant > ? ORDER BY tenant, ready_at LIMIT 1

-- name: due
SELECT q.id, q.message, q.week, q.tenant, q.mode, q.lane, q.batch, m.submission, q.due_at, q.ready_at, q.status, q.attempt, q.exposed,
       q.policy, q.deferrals, q.tried_at, q.departed_at, q.stamp, m.personal, m.n_rcpt, m.rcpt
FROM queue q CROSS JOIN messages m ON m.id = q.message
WHERE q.lane = ? AND q.tenant = ? AND q.ready_at IS NOT NULL AND q.ready_at <= ? ORDER BY q.ready_at, q.id LIMIT ?

-- name: take
UPDATE queue SET owner = ?, attempt = attempt + 1, ready_at = NULL, status = ?, reason = NULL
WHERE id = ? AND status IN {step:claim}

-- name: batch
SELECT tenant, mode, sealed_at, paused_at, cancelled_at FROM batches WHERE id = ?

-- name: owner_lives
SELECT 1 FROM owners WHERE id = ? AND epoch = ?

-- name: depart
UPDATE queue SET status = {state:sending}, departed_at = :now, handed_at = ifnull(handed_at, :now), tried_at = ifnull(tried_at, :now),
       stamp = ifnull(stamp, :stamp), ready_at = NULL
WHERE id = :id AND owner = :owner AND attempt = :attempt AND status IN {step:depart} AND due_at <= :now

-- name: is_suppressed
SELECT list FROM suppressions WHERE tenant = ? AND mode = ? AND address = ?

-- name: owner_is_alive
-- A life begins with this epoch; whoever ends it raises the epoch.
SELECT 1 FROM owners WHERE id = ? AND epoch = 1

-- name: domain_verified
SELECT 1 FROM domains WHERE tenant = ? AND domain = ? AND verified_at IS NOT NULL

-- name: tenant
-- With its verified test recipients, a line each (no address has a line break): there are a handful at the most.
SELECT status, revision, settings,
       (SELECT group_concat(address, char(10)) FROM test_recipients r WHERE r.tenant = tenants.id AND r.verified_at IS NOT NULL)
FROM tenants WHERE id = ?

-- name: spent
SELECT ifnull(sum(n), 0), ifnull(sum(cost), 0) FROM usage WHERE tenant = ? AND month = ? AND channel = 'email'

-- name: spent_by_keys
SELECT api_key, cost FROM usage_keys WHERE tenant = ? AND month = ?

-- name: charge
INSERT INTO usage (tenant, month, channel, type, n, cost, free) VALUES (?, ?, 'email', ?, ?, ?, ?)
ON CONFLICT (tenant, month, channel, type) DO UPDATE SET n = n + excluded.n, cost = cost + excluded.cost, free = free + excluded.free

-- name: charge_key
INSERT INTO usage_keys (tenant, month, api_key, n, cost) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (tenant, month, api_key) DO UPDATE SET n = n + excluded.n, cost = cost + excluded.cost

-- name: row
SELECT id, message, week, tenant, mode, lane, batch, due_at, ready_at, status, owner, attempt, exposed, policy, deferrals, tried_at, handed_at, departed_at,
       settle_at, stamp, reason
FROM queue WHERE id = ?

-- name: wait
UPDATE queue SET status = ?, owner = NULL, ready_at = ?, lane = ?, exposed = ?, deferrals = ?, tried_at = ?, settle_at = ?, reason = ?
WHERE id = ?

-- name: drop_row
DELETE FROM queue WHERE id = ?

-- name: settle_message
UPDATE messages SET status = ?, exposed = ?, departed_at = ?, data_at = ifnull(?, data_at), sent_at = ifnull(sent_at, ?), delivered_at = ?, settled_at = ?,
       attempt = ?, stamp = ?, reason = ?, redact = CASE redact WHEN 1 THEN 2 ELSE redact END
WHERE id = ?

-- name: note_sent
UPDATE messages SET sent_at = ifnull(sent_at, ?), data_at = ifnull(?, data_at), redact = CASE redact WHEN 1 THEN 2 ELSE redact END WHERE id = ?

-- name: note_shown
UPDATE messages SET shown = ?, opens = opens + ?, clicks = clicks + ? WHERE id = ?

-- name: set_recipient
UPDATE recipients SET state = ?, reply = ?, at = ? WHERE message = ? AND n = ?

-- name: recipients
SELECT n, address, state, reply FROM recipients WHERE message = ? ORDER BY n

-- name: message
SELECT id, week, tenant, mode, submission, batch, n_rcpt, rcpt, due_at, status, exposed, departed_at, attempt, stamp, personal IS NOT NULL,
       opens + clicks, created_at
FROM messages WHERE id = ?

-- name: take_out
-- The row of a claim in force, gone in the same statement: what a final result of a lone recipient needs, one look-up less.
DELETE FROM queue WHERE id = ? AND owner = ? AND attempt = ?
RETURNING id, message, week, tenant, mode, lane, batch, due_at, ready_at, status, owner, attempt, exposed, policy, deferrals, tried_at, handed_at, departed_at,
       settle_at, stamp, reason

-- name: add_event
INSERT INTO events (message, n, week, type, at, recipient, metadata)
VALUES (?1, (SELECT ifnull(max(n), 0) + 1 FROM events WHERE message = ?1), ?2, ?3, ?4, ?5, ?6)

-- name: suppress
INSERT INTO suppressions (tenant, mode, address, list, created_at, reason, bounce_type, status) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (tenant, mode, address, list) DO NOTHING

-- name: overdue
SELECT id FROM queue WHERE lane < ? AND ready_at IS NOT NULL AND ready_at < ? AND due_at < ? AND status IN {set:waiting} LIMIT ?

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

-- name: foreign_claims
SELECT id FROM queue WHERE owner IS NOT NULL AND owner <> ? LIMIT ?

-- name: submission
SELECT content FROM submissions WHERE id = ?

-- name: reopen
INSERT INTO queue (id, message, week, tenant, mode, lane, batch, due_at, ready_at, status, attempt, exposed, policy, handed_at, stamp)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, {state:queued}, ?, ?, ?, ?, ?)

-- name: reopen_message
-- What its content was to be forgotten for has not happened: it is sent from it once more.
UPDATE messages SET status = NULL, settled_at = NULL, delivered_at = NULL, reason = NULL, redact = CASE redact WHEN 2 THEN 1 ELSE redact END WHERE id = ?
