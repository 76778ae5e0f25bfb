-- Templates with plain variables, numbered versions, and what the DNS says of a domain beside its keys.

ALTER TABLE template_versions ADD COLUMN number integer NOT NULL DEFAULT 0;         -- 1, 2, … in a simple template; 0 in all others
ALTER TABLE template_versions ADD COLUMN variables text NOT NULL DEFAULT '[]';      -- JSON array of core.template.Variable
ALTER TABLE template_versions ADD COLUMN document text NOT NULL DEFAULT '';         -- an editor's JSON, kept as it came
DROP INDEX templates_name;
CREATE UNIQUE INDEX templates_name ON templates (tenant, name) WHERE deleted_at IS NULL AND generation <> 'simple';

ALTER TABLE domains ADD COLUMN from_name text NOT NULL DEFAULT '';                  -- the From name of sends that give none
ALTER TABLE domains ADD COLUMN updated_at bigint NOT NULL DEFAULT 0;               -- 0: never since it was added
ALTER TABLE domains ADD COLUMN checked_at bigint;                                  -- when the DNS was last asked
ALTER TABLE domains ADD COLUMN spf_at bigint;                                      -- since when it has the SPF record; NULL: it had not
ALTER TABLE domains ADD COLUMN dmarc_at bigint;                                    -- the same of the DMARC record
