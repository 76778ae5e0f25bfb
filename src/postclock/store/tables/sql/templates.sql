-- Templates and their versions. {columns} are the version's, in the order that version_rows.py reads.

-- name: insert_template
INSERT INTO templates (tenant, id, name, generation, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?)

-- name: id_taken
-- A deleted one keeps its id: messages on their way name it.
SELECT 1 FROM templates WHERE tenant = ? AND id = ?

-- name: name_taken
-- Names of simple templates are free.
SELECT 1 FROM templates WHERE tenant = ? AND name = ? AND id <> ? AND deleted_at IS NULL AND generation <> 'simple'

-- name: count_simple
SELECT COUNT(*) FROM templates WHERE tenant = ? AND generation = 'simple' AND deleted_at IS NULL

-- name: template
SELECT id, name, generation, created_at, updated_at FROM templates WHERE tenant = ? AND id = ? AND deleted_at IS NULL

-- name: templates
SELECT id, name, generation, created_at, updated_at FROM templates WHERE tenant = ? AND deleted_at IS NULL ORDER BY created_at DESC, id DESC

-- name: rename_template
UPDATE templates SET name = ? WHERE tenant = ? AND id = ?

-- name: touch_template
-- A clock that went back does not make the last change older.
UPDATE templates SET updated_at = ? WHERE tenant = ? AND id = ? AND updated_at < ?

-- name: delete_template
UPDATE templates SET deleted_at = ? WHERE tenant = ? AND id = ?

-- name: delete_versions
UPDATE template_versions SET active = 0, deleted_at = ? WHERE tenant = ? AND template = ? AND deleted_at IS NULL

-- name: versions
SELECT {columns} FROM template_versions WHERE tenant = ? AND template = ? AND deleted_at IS NULL ORDER BY created_at, id

-- name: newest_version
SELECT {columns} FROM template_versions WHERE tenant = ? AND template = ? AND deleted_at IS NULL ORDER BY number DESC, id DESC LIMIT 1

-- name: last_number
SELECT COALESCE(MAX(number), 0) FROM template_versions WHERE tenant = ? AND template = ?

-- name: version
SELECT {columns} FROM template_versions WHERE tenant = ? AND template = ? AND id = ? AND deleted_at IS NULL

-- name: insert_version
INSERT INTO template_versions (tenant, {columns})
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: change_version
UPDATE template_versions SET name = ?, subject = ?, preheader = ?, html = ?, plain = ?, plain_given = ?, editor = ?, updated_at = ?
WHERE tenant = ? AND id = ?

-- name: deactivate
-- Whichever is active: at most one is.
UPDATE template_versions SET active = 0 WHERE tenant = ? AND template = ? AND active = 1 AND deleted_at IS NULL

-- name: activate
UPDATE template_versions SET active = 1 WHERE tenant = ? AND id = ?

-- name: delete_version
UPDATE template_versions SET deleted_at = ? WHERE tenant = ? AND id = ?

-- name: raise_revision
UPDATE tenants SET revision = revision + 1 WHERE id = ?
