-- Why no machine may answer a received mail (RFC 3834); NULL where one may.
ALTER TABLE emails ADD COLUMN no_auto_reply TEXT;

-- The mails that went to a list.
CREATE TABLE list_mails (
    mail_id TEXT COLLATE "C" PRIMARY KEY REFERENCES mails (id) ON DELETE CASCADE,
    -- The account's name for the list.
    list_id TEXT COLLATE "C" NOT NULL
);

-- Who has left a list of an account's.
CREATE TABLE unsubscriptions (
    account_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
    -- In lower case.
    address TEXT COLLATE "C" NOT NULL,
    -- Empty: all lists of the account.
    list_id TEXT COLLATE "C" NOT NULL,
    at BIGINT NOT NULL,
    -- The mail whose link was followed.
    source TEXT NOT NULL,
    lifted_at BIGINT,
    PRIMARY KEY (account_id, address, list_id)
);

-- What accounts have uploaded and may still name in a mail; the octets are in the bucket UPLOADS.
CREATE TABLE uploads (
    id TEXT COLLATE "C" PRIMARY KEY,
    account_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
    size_bytes BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE INDEX uploads_by_account ON uploads (account_id, expires_at);

-- DKIM keys besides those in `domains`, which sign: the next ones, whose DNS records are awaited, and
-- those that signed before, without their private keys.
CREATE TABLE dkim_keys (
    domain_id TEXT COLLATE "C" NOT NULL REFERENCES domains (id) ON DELETE CASCADE,
    selector TEXT COLLATE "C" NOT NULL,
    -- "next" or "retired".
    state TEXT NOT NULL,
    -- Since when.
    since BIGINT NOT NULL,
    -- As in `domains`; empty once retired.
    rsa_key BYTEA NOT NULL,
    ed25519_key BYTEA NOT NULL,
    rsa_public BYTEA NOT NULL,
    ed25519_public BYTEA NOT NULL,
    PRIMARY KEY (domain_id, selector)
);

CREATE UNIQUE INDEX dkim_keys_next ON dkim_keys (domain_id) WHERE state = 'next';
