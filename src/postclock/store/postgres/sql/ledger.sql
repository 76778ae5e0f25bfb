-- Accept, claim, depart, record: the path of a mail. The names are those of SQLite; here a statement reads or writes for a whole
-- group at once, because a round trip a row would cost more than the row. Locks, in this order everywhere: owner, tenants, batches,
-- queue rows (or messages without one), each by id, the usage of tenants with limits; counts, usage and idempotency keys come last, sorted.

-- name: insert_submission
INSERT INTO submissions (id, week, tenant, created_at, from_email, subject, template, categories, content)
SELECT * FROM unnest($1::bigint[], $2::int[], $3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[], $9::bytea[])

-- name: insert_message
INSERT INTO messages (id, week, tenant, mode, submission, batch, n_rcpt, rcpt, from_email, subject, due_at, created_at, personal, status, settled_at, redact)
SELECT * FROM unnest($1::bigint[], $2::int[], $3::bigint[], $4::smallint[], $5::bigint[], $6::bigint[], $7::int[], $8::text[], $9::text[], $10::text[],
                     $11::bigint[], $12::bigint[], $13::bytea[], $14::smallint[], $15::bigint[], $16::smallint[])

-- name: insert_recipient
INSERT INTO recipients (message, n, week, address, state)
SELECT * FROM unnest($1::bigint[], $2::int[], $3::int[], $4::text[], $5::smallint[])

-- name: insert_queue
INSERT INTO queue (id, message, week, tenant, mode, lane, batch, due_at, ready_at, status, policy)
SELECT id, message, week, tenant, mode, lane, batch, due_at, ready_at, {state:queued}, policy
FROM unnest($1::bigint[], $2::bigint[], $3::int[], $4::bigint[], $5::smallint[], $6::smallint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::smallint[])
     AS x(id, message, week, tenant, mode, lane, batch, due_at, ready_at, policy)

-- name: find_key
SELECT i.tenant, i.mode, i.dialect, i.key, i.fingerprint, i.ids
FROM unnest($1::bigint[], $2::smallint[], $3::text[], $4::text[]) AS x(tenant, mode, dialect, key)
JOIN idempotency i ON i.tenant = x.tenant AND i.mode = x.mode AND i.dialect = x.dialect AND i.key = x.key

-- name: insert_key
-- Sorted, or two processes with the same keys would wait for each other. A key that another process took meanwhile is not inserted:
-- the group sees that it has fewer rows, and is run again.
INSERT INTO idempotency (tenant, mode, dialect, key, fingerprint, ids, created_at)
SELECT * FROM unnest($1::bigint[], $2::smallint[], $3::text[], $4::text[], $5::bytea[], $6::bytea[], $7::bigint[])
ON CONFLICT (tenant, mode, dialect, key) DO NOTHING

-- name: next_tenant
-- A skip scan in one statement: every tenant that has something in the lane, with its earliest ready time.
WITH RECURSIVE t AS (
    (SELECT tenant, ready_at FROM queue WHERE lane = $1 AND ready_at IS NOT NULL ORDER BY tenant, ready_at LIMIT 1)
    UNION ALL
    SELECT n.tenant, n.ready_at FROM t CROSS JOIN LATERAL (
        SELECT q.tenant, q.ready_at FROM queue q WHERE q.lane = $1 AND q.ready_at IS NOT NULL AND q.tenant > t.tenant
        ORDER BY q.tenant, q.ready_at LIMIT 1) n
)
SELECT tenant, ready_at FROM t

-- name: due
-- Of each tenant as many as it may have, from its floor on: what lies before was taken, but its dead entries are still there as long
-- as somebody holds an old snapshot. Rows that another process is at are stepped over: an empty answer is not "nothing due".
SELECT q.id, q.message, q.week, q.tenant, q.mode, q.lane, q.batch, q.due_at, q.ready_at, q.status, q.owner, q.attempt, q.exposed, q.policy, q.deferrals,
       q.tried_at, q.handed_at, q.departed_at, q.settle_at, q.stamp, q.reason
FROM unnest($3::bigint[], $4::bigint[], $5::int[]) AS t(tenant, floor, wanted) CROSS JOIN LATERAL (
    SELECT * FROM queue r WHERE r.lane = $1 AND r.tenant = t.tenant AND r.ready_at IS NOT NULL AND r.ready_at >= t.floor AND r.ready_at <= $2
    ORDER BY r.ready_at, r.id LIMIT t.wanted FOR UPDATE SKIP LOCKED) q

-- name: due_message
SELECT m.id, m.submission, m.personal, m.n_rcpt, m.rcpt
FROM unnest($1::bigint[], $2::int[]) AS x(id, week) JOIN messages m ON m.id = x.id AND m.week = x.week

-- name: take
UPDATE queue q SET owner = $1, attempt = q.attempt + 1, ready_at = NULL, status = x.status, reason = NULL
FROM unnest($2::bigint[], $3::smallint[]) AS x(id, status) WHERE q.id = x.id

-- name: note_claim
-- Who holds what: one row a claim.
INSERT INTO claims (owner, seq, ids) VALUES ($1, $2, $3::bigint[])

-- name: drop_claims
-- Claims of which nothing is held any more.
DELETE FROM claims c WHERE c.owner = $1 AND NOT EXISTS (SELECT 1 FROM queue q WHERE q.id = ANY(c.ids) AND q.owner = $1)

-- name: batch
-- First the advisory lock of each batch: whoever comes waits behind who waits already. Row locks alone let new sharers past a waiting
-- canceller, and with six processes at one batch it waited for twenty seconds.
SELECT id, tenant, mode, sealed_at, paused_at, cancelled_at FROM batches WHERE id = ANY($1::bigint[])
  AND (SELECT count(pg_advisory_xact_lock_shared(x)) FROM (SELECT x FROM unnest($1::bigint[]) AS x ORDER BY x) AS gate) >= 0
ORDER BY id FOR SHARE

-- name: batch_alone
-- For who changes the flag: waits for everybody that reads it.
SELECT id, tenant, mode, sealed_at, paused_at, cancelled_at FROM batches WHERE id = ANY($1::bigint[])
  AND (SELECT count(pg_advisory_xact_lock(x)) FROM (SELECT x FROM unnest($1::bigint[]) AS x ORDER BY x) AS gate) >= 0
ORDER BY id FOR UPDATE

-- name: batch_unless_changing
-- A claim has its rows already: to wait for a flag now would be against the order of locks. It leaves those rows for the next claim.
SELECT id, tenant, mode, sealed_at, paused_at, cancelled_at FROM batches WHERE id = ANY($1::bigint[])
  AND pg_try_advisory_xact_lock_shared(id) ORDER BY id FOR SHARE SKIP LOCKED

-- name: owner_is_alive
-- A life begins with epoch 1; whoever ends it raises the epoch.
SELECT id FROM owners WHERE id = ANY($1::bigint[]) AND epoch = 1

-- name: depart
UPDATE queue q SET status = {state:sending}, departed_at = x.at, handed_at = coalesce(q.handed_at, x.at), tried_at = coalesce(q.tried_at, x.at),
       stamp = coalesce(q.stamp, x.stamp), ready_at = NULL
FROM unnest($1::bigint[], $2::bigint[], $3::bytea[]) AS x(id, at, stamp) WHERE q.id = x.id

-- name: is_suppressed
SELECT s.tenant, s.mode, s.address, s.list
FROM unnest($1::bigint[], $2::smallint[], $3::text[]) AS x(tenant, mode, address)
JOIN suppressions s ON s.tenant = x.tenant AND s.mode = x.mode AND s.address = x.address

-- name: domain_verified
SELECT d.tenant, d.domain FROM unnest($1::bigint[], $2::text[]) AS x(tenant, domain)
JOIN domains d ON d.tenant = x.tenant AND d.domain = x.domain WHERE d.verified_at IS NOT NULL

-- name: tenant
-- The gate as with batches, under the negative id: or a busy tenant could not be suspended.
-- With its verified test recipients: there are a handful at the most.
SELECT id, status, revision, settings, ARRAY(SELECT r.address FROM test_recipients r WHERE r.tenant = tenants.id AND r.verified_at IS NOT NULL)
FROM tenants WHERE id = ANY($1::bigint[])
  AND (SELECT count(pg_advisory_xact_lock_shared(-x)) FROM (SELECT x FROM unnest($1::bigint[]) AS x ORDER BY x) AS gate) >= 0
ORDER BY id FOR SHARE

-- name: charge
INSERT INTO usage (tenant, month, channel, type, n, cost, free)
SELECT tenant, month, 'email', type, n, cost, free
FROM unnest($1::bigint[], $2::int[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[]) AS x(tenant, month, type, n, cost, free)
ON CONFLICT (tenant, month, channel, type) DO UPDATE SET n = usage.n + excluded.n, cost = usage.cost + excluded.cost, free = usage.free + excluded.free

-- name: charge_key
INSERT INTO usage_keys (tenant, month, api_key, n, cost)
SELECT * FROM unnest($1::bigint[], $2::int[], $3::bigint[], $4::bigint[], $5::bigint[])
ON CONFLICT (tenant, month, api_key) DO UPDATE SET n = usage_keys.n + excluded.n, cost = usage_keys.cost + excluded.cost

-- name: lock_usage
-- After every other lock, in the order of the tenants. What was spent is read behind it by statements of their own: this one has its
-- snapshot from before the wait.
SELECT count(pg_advisory_xact_lock($2::int, (x % 2147483647)::int)) FROM (SELECT x FROM unnest($1::bigint[]) AS x ORDER BY x) AS gate

-- name: spent
SELECT u.tenant, u.month, sum(u.n)::bigint, sum(u.cost)::bigint FROM unnest($1::bigint[], $2::int[]) AS x(tenant, month)
JOIN usage u ON u.tenant = x.tenant AND u.month = x.month WHERE u.channel = 'email' GROUP BY u.tenant, u.month

-- name: spent_by_keys
SELECT u.tenant, u.month, u.api_key, u.cost FROM unnest($1::bigint[], $2::int[]) AS x(tenant, month)
JOIN usage_keys u ON u.tenant = x.tenant AND u.month = x.month

-- name: row
SELECT id, message, week, tenant, mode, lane, batch, due_at, ready_at, status, owner, attempt, exposed, policy, deferrals, tried_at, handed_at, departed_at,
       settle_at, stamp, reason
FROM queue WHERE id = ANY($1::bigint[]) ORDER BY id FOR UPDATE

-- name: row_scope
-- What a row's locks begin with; neither ever changes.
SELECT id, tenant, batch FROM queue WHERE id = ANY($1::bigint[])

-- name: set_row
UPDATE queue q SET status = x.status, owner = x.owner, ready_at = x.ready_at, lane = x.lane, attempt = x.attempt, exposed = x.exposed, deferrals = x.deferrals,
       tried_at = x.tried_at, settle_at = x.settle_at, reason = x.reason
FROM unnest($1::bigint[], $2::smallint[], $3::bigint[], $4::bigint[], $5::smallint[], $6::int[], $7::smallint[], $8::int[], $9::bigint[], $10::bigint[], $11::text[])
     AS x(id, status, owner, ready_at, lane, attempt, exposed, deferrals, tried_at, settle_at, reason)
WHERE q.id = x.id

-- name: drop_row
DELETE FROM queue WHERE id = ANY($1::bigint[])

-- name: settle_message
UPDATE messages m SET status = x.status, exposed = x.exposed, departed_at = x.departed_at, data_at = coalesce(x.data_at, m.data_at),
       sent_at = coalesce(m.sent_at, x.delivered_at), delivered_at = x.delivered_at, settled_at = x.settled_at, attempt = x.attempt, stamp = x.stamp,
       reason = x.reason, redact = CASE m.redact WHEN 1 THEN 2 ELSE m.redact END
FROM unnest($1::bigint[], $2::int[], $3::smallint[], $4::smallint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::int[], $10::bytea[], $11::text[])
     AS x(id, week, status, exposed, departed_at, data_at, delivered_at, settled_at, attempt, stamp, reason)
WHERE m.id = x.id AND m.week = x.week

-- name: note_sent
UPDATE messages m SET sent_at = coalesce(m.sent_at, x.at), data_at = coalesce(x.data_at, m.data_at),
       redact = CASE m.redact WHEN 1 THEN 2 ELSE m.redact END
FROM unnest($1::bigint[], $2::int[], $3::bigint[], $4::bigint[]) AS x(id, week, at, data_at) WHERE m.id = x.id AND m.week = x.week

-- name: note_shown
-- A statement of its own, after the group's others: one of them may have settled the same message.
UPDATE messages m SET shown = x.shown, opens = m.opens + x.opens, clicks = m.clicks + x.clicks
FROM unnest($1::bigint[], $2::int[], $3::smallint[], $4::int[], $5::int[]) AS x(id, week, shown, opens, clicks) WHERE m.id = x.id AND m.week = x.week

-- name: set_recipient
UPDATE recipients r SET state = x.state, reply = x.reply, at = x.at
FROM unnest($1::bigint[], $2::int[], $3::int[], $4::smallint[], $5::text[], $6::bigint[]) AS x(message, week, n, state, reply, at)
WHERE r.message = x.message AND r.n = x.n AND r.week = x.week

-- name: recipients
SELECT message, n, address, state, reply FROM recipients WHERE message = ANY($1::bigint[]) ORDER BY message, n

-- name: message
-- Without a queue row the message's own row is what a step holds on to.
SELECT id, week, tenant, mode, submission, batch, n_rcpt, rcpt, due_at, status, exposed, departed_at, attempt, stamp,
       (personal IS NOT NULL)::int, opens + clicks, created_at
FROM messages WHERE id = ANY($1::bigint[]) ORDER BY id FOR UPDATE

-- name: message_scope
SELECT id, tenant, batch FROM messages WHERE id = ANY($1::bigint[])

-- name: add_event
-- The number goes on from the message's last event; $8 counts those of the same message within the group.
INSERT INTO events (message, n, week, type, at, recipient, metadata)
SELECT x.message, x.n + (SELECT coalesce(max(e.n), 0) FROM events e WHERE e.message = x.message AND e.week = x.week), x.week, x.type, x.at, x.recipient, x.metadata
FROM unnest($1::bigint[], $2::int[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::int[]) AS x(message, week, type, at, recipient, metadata, n)

-- name: suppress
INSERT INTO suppressions (tenant, mode, address, list, created_at, reason, bounce_type, status)
SELECT DISTINCT ON (1, 2, 3, 4) * FROM unnest($1::bigint[], $2::smallint[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::text[], $8::text[])
ORDER BY 1, 2, 3, 4
ON CONFLICT (tenant, mode, address, list) DO NOTHING

-- name: foreign_claims
-- Rows of lives that are over.
SELECT q.id, q.tenant, q.batch, m.n_rcpt FROM claims c CROSS JOIN LATERAL unnest(c.ids) AS x(id) JOIN queue q ON q.id = x.id AND q.owner = c.owner
JOIN messages m ON m.id = q.message AND m.week = q.week
WHERE NOT EXISTS (SELECT 1 FROM owners o WHERE o.id = c.owner AND o.epoch = 1) LIMIT $1

-- name: drop_dead_claims
DELETE FROM claims c WHERE NOT EXISTS (SELECT 1 FROM owners o WHERE o.id = c.owner AND o.epoch = 1)
       AND NOT EXISTS (SELECT 1 FROM queue q WHERE q.id = ANY(c.ids) AND q.owner = c.owner)

-- name: submission
SELECT id, content FROM submissions WHERE id = ANY($1::bigint[])

-- name: reopen
INSERT INTO queue (id, message, week, tenant, mode, lane, batch, due_at, ready_at, status, attempt, exposed, policy, handed_at, stamp)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, {state:queued}, $10, $11, $12, $13, $14)

-- name: reopen_message
-- What its content was to be forgotten for has not happened: it is sent from it once more.
UPDATE messages SET status = NULL, settled_at = NULL, delivered_at = NULL, reason = NULL, redact = CASE redact WHEN 2 THEN 1 ELSE redact END WHERE id = $1 AND week = $2

-- name: overdue
SELECT id, tenant, batch FROM queue WHERE lane < $1 AND ready_at IS NOT NULL AND ready_at < $2 AND due_at < $2 AND status IN {set:waiting} LIMIT $3

-- name: confirmed
SELECT q.id, m.rcpt, q.batch, m.n_rcpt FROM queue q JOIN messages m ON m.id = q.message AND m.week = q.week
WHERE q.lane = $1 AND q.tenant = ANY($2::bigint[]) AND q.ready_at IS NOT NULL AND q.ready_at <= $3 LIMIT $4

-- name: cancel_batch
UPDATE batches SET cancelled_at = $1, swept = 0 WHERE id = $2 AND cancelled_at IS NULL

-- name: exposed_rows
SELECT id FROM queue WHERE batch = $1 AND status IN {step:stop} AND exposed = 1

-- name: unswept
SELECT id, tenant FROM batches WHERE cancelled_at IS NOT NULL AND swept = 0 ORDER BY id LIMIT 1

-- name: sweep_rows
-- On from the last slice: under an old snapshot the entries of what was swept are still there, and would be walked through each time.
SELECT q.id, m.n_rcpt FROM queue q JOIN messages m ON m.id = q.message AND m.week = q.week
WHERE q.batch = $1 AND q.status IN {step:cancel} AND q.id > $3 ORDER BY q.id LIMIT $2

-- name: swept
UPDATE batches SET swept = 1 WHERE id = $1
