-- What retention looks for: attachments by their last use, without reading through their bytes.

CREATE INDEX blobs_age ON blobs (used_at, tenant, sha256);
