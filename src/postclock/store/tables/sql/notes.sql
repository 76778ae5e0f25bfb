-- The store's own notes, and what waits by its kinds.

-- name: get
SELECT value FROM meta WHERE key = ?

-- name: set
INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value

-- name: waiting
SELECT count(*) FILTER (WHERE status IN (0, 1)), count(*) FILTER (WHERE ready_at IS NULL AND owner IS NULL),
       count(*) FILTER (WHERE status = 4), count(*) FILTER (WHERE status = 3)
FROM queue

-- name: oldest
SELECT min(due_at) FROM queue WHERE ready_at IS NOT NULL AND lane < 3

-- name: by_host
SELECT CASE route WHEN '' THEN 'relay' ELSE route END, count(*) FROM queue WHERE status IN (0, 1) GROUP BY 1

-- name: by_domain
-- Of so many rows and no more: it is for people.
SELECT substr(a, {find}(a, '@') + 1), count(*)
FROM (
    SELECT coalesce(m.rcpt, (SELECT address FROM recipients r WHERE r.message = m.id AND r.week = m.week LIMIT 1)) AS a
    FROM queue q JOIN messages m ON m.id = q.message AND m.week = q.week WHERE q.status IN (0, 1) LIMIT 100000
) AS waiting
GROUP BY 1 ORDER BY 2 DESC LIMIT 100

-- name: by_tenant
SELECT t.name, count(*) FROM queue q JOIN tenants t ON t.id = q.tenant WHERE q.status IN (0, 1) GROUP BY 1

-- name: by_reason
SELECT reason, count(*) FROM queue WHERE reason IS NOT NULL GROUP BY 1 ORDER BY 2 DESC LIMIT 100
