-- What a token may do (JSON, contract::Grant); null for everything that its account may.
ALTER TABLE tokens ADD COLUMN permits TEXT;
ALTER TABLE tokens ADD COLUMN label TEXT NOT NULL DEFAULT '';
ALTER TABLE tokens ADD COLUMN expires_at BIGINT;
ALTER TABLE tokens ADD COLUMN last_used_at BIGINT;
-- The hash of the token that it was made with; empty for one that an operator or signing up made.
ALTER TABLE tokens ADD COLUMN made_with TEXT NOT NULL DEFAULT '';

CREATE INDEX tokens_made_with ON tokens (made_with);

-- The mails that count for a token's limit.
CREATE TABLE token_mails (
    token_hash TEXT NOT NULL,
    email_id TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (token_hash, at, email_id)
) WITHOUT ROWID;
