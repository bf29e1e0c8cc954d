-- What became of a received mail by its inbox's policy, and what was decided on it since: JSON. NULL for
-- what was sent, and for what came before there were policies.
ALTER TABLE emails ADD COLUMN screening TEXT;
-- 1 for mail that is kept from agents: in quarantine, or refused there.
ALTER TABLE emails ADD COLUMN hidden BIGINT NOT NULL DEFAULT 0;

CREATE INDEX emails_hidden ON emails (account_id, created_at, id) WHERE hidden = 1;

-- What an account or an inbox wants done with received mail, as JSON.
CREATE TABLE screening_settings (
    -- The account's or the inbox's.
    scope_id TEXT PRIMARY KEY,
    settings TEXT NOT NULL,
    updated_at BIGINT NOT NULL
) WITHOUT ROWID;

-- Senders whose mail is delivered, or kept out, whatever else the policy says.
CREATE TABLE sender_rules (
    account_id TEXT NOT NULL REFERENCES accounts (id),
    -- Empty for all inboxes of the account.
    inbox_id TEXT NOT NULL,
    -- 'allow' or 'block'.
    list TEXT NOT NULL,
    -- An address or a domain, in lower case.
    entry TEXT NOT NULL,
    note TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (account_id, inbox_id, list, entry)
) WITHOUT ROWID;

-- Whom inboxes heard from, as far as his mail was delivered and not found to be somebody else's.
CREATE TABLE senders (
    inbox_id TEXT NOT NULL,
    -- In lower case.
    address TEXT NOT NULL,
    -- The last display name.
    name TEXT NOT NULL,
    first_at BIGINT NOT NULL,
    last_at BIGINT NOT NULL,
    received BIGINT NOT NULL,
    -- How many of these mails proved to be his.
    authenticated BIGINT NOT NULL,
    PRIMARY KEY (inbox_id, address)
) WITHOUT ROWID;

CREATE INDEX senders_recent ON senders (inbox_id, last_at);
CREATE INDEX correspondents_recent ON correspondents (inbox_id, first_at);

-- What people decided on mail, policies and lists. It outlives the inbox that it is about.
CREATE TABLE audit (
    id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    -- Empty for what is about the whole account.
    inbox_id TEXT NOT NULL,
    email_id TEXT NOT NULL,
    action TEXT NOT NULL,
    -- Names the token that was used.
    actor TEXT NOT NULL,
    reason TEXT NOT NULL,
    -- What it is about, as JSON.
    details TEXT NOT NULL,
    at BIGINT NOT NULL
) WITHOUT ROWID;

CREATE INDEX audit_by_account ON audit (account_id, at, id);
