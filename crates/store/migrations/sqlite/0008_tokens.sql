-- So that others can follow what becomes of tokens.
ALTER TABLE tokens ADD COLUMN changed_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE tokens ADD COLUMN revoked_at BIGINT;

CREATE INDEX tokens_changed ON tokens (changed_at);
CREATE INDEX tokens_by_account ON tokens (account_id);
