-- What recipients do with their mail, what a simulated run came to, and whose content is to be forgotten once it is sent.

ALTER TABLE messages ADD COLUMN shown INTEGER NOT NULL DEFAULT 0;           -- core.lifecycle.Shown: what the newest event says beyond the state
ALTER TABLE messages ADD COLUMN opens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE messages ADD COLUMN clicks INTEGER NOT NULL DEFAULT 0;
ALTER TABLE messages ADD COLUMN redact INTEGER NOT NULL DEFAULT 0;          -- 1: what it is made from is forgotten once it is sent; 2: it was sent; 3: done
CREATE INDEX messages_redact ON messages (id) WHERE redact = 2;
