-- Templates with plain variables, numbered versions, and what the DNS says of a domain beside its keys.

ALTER TABLE template_versions ADD COLUMN number INTEGER NOT NULL DEFAULT 0;         -- 1, 2, … in a simple template; 0 in all others
ALTER TABLE template_versions ADD COLUMN variables TEXT NOT NULL DEFAULT '[]';      -- JSON array of core.template.Variable
ALTER TABLE template_versions ADD COLUMN document TEXT NOT NULL DEFAULT '';         -- an editor's JSON, kept as it came
DROP INDEX templates_name;
CREATE UNIQUE INDEX templates_name ON templates (tenant, name) WHERE deleted_at IS NULL AND generation <> 'simple';

ALTER TABLE domains ADD COLUMN from_name TEXT NOT NULL DEFAULT '';                  -- the From name of sends that give none
ALTER TABLE domains ADD COLUMN updated_at INTEGER NOT NULL DEFAULT 0;               -- 0: never since it was added
ALTER TABLE domains ADD COLUMN checked_at INTEGER;                                  -- when the DNS was last asked
ALTER TABLE domains ADD COLUMN spf_at INTEGER;                                      -- since when it has the SPF record; NULL: it had not
ALTER TABLE domains ADD COLUMN dmarc_at INTEGER;                                    -- the same of the DMARC record
