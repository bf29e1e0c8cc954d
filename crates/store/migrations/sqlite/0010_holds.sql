-- What agents may send without anybody looking at it, as JSON. `inbox_id` is empty for what the account
-- says of all its inboxes.
CREATE TABLE outbound_policies (
    account_id TEXT NOT NULL REFERENCES accounts (id),
    inbox_id TEXT NOT NULL,
    policy TEXT NOT NULL,
    PRIMARY KEY (account_id, inbox_id)
) WITHOUT ROWID;

-- What may be sent to whom although there is a reason to hold it.
CREATE TABLE outbound_allowances (
    id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    -- Empty for all inboxes of the account.
    inbox_id TEXT NOT NULL,
    -- An address or a domain, in lower case.
    recipient TEXT NOT NULL,
    -- The kind of reason; empty for every kind but canaries.
    kind TEXT NOT NULL,
    note TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    UNIQUE (account_id, inbox_id, recipient, kind)
) WITHOUT ROWID;

-- What must never be sent, and is there to be noticed.
CREATE TABLE canaries (
    id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    kind TEXT NOT NULL,
    label TEXT NOT NULL,
    token TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    -- Mails that were held because of it, and when the last one was.
    hits BIGINT NOT NULL,
    last_hit_at BIGINT
) WITHOUT ROWID;

CREATE INDEX canaries_by_account ON canaries (account_id, created_at, id);

-- Mail that somebody has, or had, to approve. `state` goes from waiting to approved, declined, expired or
-- cancelled.
CREATE TABLE holds (
    email_id TEXT PRIMARY KEY REFERENCES emails (id) ON DELETE CASCADE,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    state TEXT NOT NULL,
    -- `contract::HoldReason`s as JSON.
    reasons TEXT NOT NULL,
    -- SHA-256 of the octets, in hexadecimal.
    sha256 TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    decided_at BIGINT,
    decided_by TEXT,
    note TEXT,
    -- The event that has yet to be published; empty for none.
    announce TEXT NOT NULL
) WITHOUT ROWID;

CREATE INDEX holds_by_account ON holds (account_id, created_at, email_id);
CREATE INDEX holds_waiting ON holds (expires_at) WHERE state = 'waiting';
CREATE INDEX holds_announce ON holds (email_id) WHERE announce <> '';

-- What mail named: addresses, domains, links and tokens, as the first 64 bits of their SHA-256.
CREATE TABLE mentions (
    inbox_id TEXT NOT NULL,
    item BIGINT NOT NULL,
    email_id TEXT NOT NULL,
    -- 1 for mail that the inbox sent, or got from somebody who is known and proven.
    trusted BIGINT NOT NULL,
    -- 1 for mail that the scanner suspects.
    suspicious BIGINT NOT NULL,
    mentioned_at BIGINT NOT NULL,
    -- Forgotten then.
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (inbox_id, item, email_id)
) WITHOUT ROWID;

CREATE INDEX mentions_expiring ON mentions (expires_at);
