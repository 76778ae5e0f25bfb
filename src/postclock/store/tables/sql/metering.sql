-- What a month has counted, and the test recipients.

-- name: usage
SELECT channel, type, n, cost, free FROM usage WHERE tenant = ? AND month = ? ORDER BY channel, type

-- name: by_keys
SELECT api_key, cost FROM usage_keys WHERE tenant = ? AND month = ?

-- name: testers
SELECT id, tenant, email, address, created_at, mailed_at, verified_at FROM test_recipients WHERE tenant = ? ORDER BY created_at, id

-- name: tester
-- Of one tenant, or with NULL of any.
SELECT id, tenant, email, address, created_at, mailed_at, verified_at FROM test_recipients
WHERE id = ? AND (CAST(? AS bigint) IS NULL OR tenant = ?)

-- name: insert_tester
INSERT INTO test_recipients (id, tenant, address, email, created_at, mailed_at, verified_at) VALUES (?, ?, ?, ?, ?, ?, ?)

-- name: mail_tester
UPDATE test_recipients SET mailed_at = ? WHERE id = ?

-- name: verify_tester
UPDATE test_recipients SET verified_at = coalesce(verified_at, ?) WHERE id = ?

-- name: drop_tester
DELETE FROM test_recipients WHERE id = ?
