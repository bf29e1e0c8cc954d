-- Times are microseconds since 1970. JSON is kept as text: nothing in SQL looks into it.
-- Keys are compared octet by octet, as SQLite does.

CREATE TABLE accounts (
    id TEXT COLLATE "C" PRIMARY KEY,
    tier BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    last_active_at BIGINT NOT NULL,
    -- Mails received by inboxes that are purged by now.
    purged_email_count BIGINT NOT NULL DEFAULT 0
);

CREATE TABLE tokens (
    hash TEXT COLLATE "C" PRIMARY KEY,
    account_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
    created_at BIGINT NOT NULL
);

CREATE TABLE secrets (
    name TEXT COLLATE "C" PRIMARY KEY,
    octets BYTEA NOT NULL
);

CREATE TABLE inboxes (
    id TEXT COLLATE "C" PRIMARY KEY,
    account_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
    address TEXT NOT NULL,
    -- Also of a deleted inbox: its address is free again only when it is purged.
    canonical TEXT COLLATE "C" NOT NULL UNIQUE,
    domain TEXT COLLATE "C" NOT NULL,
    display_name TEXT,
    email_count BIGINT NOT NULL DEFAULT 0,
    expires_at BIGINT,
    created_at BIGINT NOT NULL,
    deleted_at BIGINT,
    -- emails.created_at of the newest email.
    last_stored_at BIGINT NOT NULL DEFAULT 0
);

CREATE INDEX inboxes_by_account ON inboxes (account_id, created_at, id);
CREATE INDEX inboxes_deleted ON inboxes (deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX inboxes_expiring ON inboxes (expires_at) WHERE expires_at IS NOT NULL;

-- What all copies of a mail share.
CREATE TABLE mails (
    id TEXT COLLATE "C" PRIMARY KEY,
    reverse_path TEXT NOT NULL,
    from_address TEXT NOT NULL,
    to_addresses TEXT NOT NULL,
    cc_addresses TEXT NOT NULL,
    subject TEXT NOT NULL,
    preview TEXT NOT NULL,
    -- Without angle brackets.
    message_id TEXT COLLATE "C",
    -- What the References of a reply begin with.
    reference_ids TEXT NOT NULL,
    has_attachments BIGINT NOT NULL,
    attachments TEXT NOT NULL,
    security TEXT NOT NULL
);

-- Apart from mails, so that lists do not read past it. A refused submission has none.
CREATE TABLE contents (
    mail_id TEXT COLLATE "C" PRIMARY KEY REFERENCES mails (id) ON DELETE CASCADE,
    text TEXT NOT NULL,
    octets BYTEA NOT NULL
);

-- The copy of a mail that is in an inbox.
CREATE TABLE emails (
    id TEXT COLLATE "C" PRIMARY KEY,
    mail_id TEXT COLLATE "C" NOT NULL REFERENCES mails (id) ON DELETE CASCADE,
    inbox_id TEXT COLLATE "C" NOT NULL REFERENCES inboxes (id),
    account_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
    direction TEXT NOT NULL,
    status TEXT NOT NULL,
    is_read BIGINT NOT NULL DEFAULT 0,
    thread_id TEXT COLLATE "C",
    created_at BIGINT NOT NULL,
    received_at BIGINT,
    UNIQUE (mail_id, inbox_id)
);

CREATE INDEX emails_by_inbox ON emails (inbox_id, created_at, id);
CREATE INDEX emails_by_account ON emails (account_id, created_at, id);
CREATE INDEX emails_by_thread ON emails (thread_id, created_at, id);

CREATE TABLE threads (
    id TEXT COLLATE "C" PRIMARY KEY,
    inbox_id TEXT COLLATE "C" NOT NULL REFERENCES inboxes (id),
    subject TEXT NOT NULL,
    -- RFC 5256 section 2.1, cut.
    base_subject TEXT COLLATE "C" NOT NULL,
    email_count BIGINT NOT NULL,
    last_email_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE INDEX threads_by_inbox ON threads (inbox_id, last_email_at, id);
CREATE INDEX threads_by_subject ON threads (inbox_id, base_subject, last_email_at);

-- What leads a mail to its thread: every Message-ID seen or referred to, and Thread-Indexes.
CREATE TABLE thread_keys (
    inbox_id TEXT COLLATE "C" NOT NULL REFERENCES inboxes (id),
    key TEXT COLLATE "C" NOT NULL,
    thread_id TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (inbox_id, key)
);

CREATE INDEX thread_keys_by_thread ON thread_keys (thread_id);

-- Threads that were merged into others. `target` is never merged itself.
CREATE TABLE thread_redirects (
    thread_id TEXT COLLATE "C" PRIMARY KEY,
    inbox_id TEXT COLLATE "C" NOT NULL REFERENCES inboxes (id),
    target TEXT COLLATE "C" NOT NULL
);

CREATE INDEX thread_redirects_by_target ON thread_redirects (target);
CREATE INDEX thread_redirects_by_inbox ON thread_redirects (inbox_id);

-- What was asked to be sent, once per key.
CREATE TABLE ledger (
    email_id TEXT COLLATE "C" PRIMARY KEY REFERENCES emails (id) ON DELETE CASCADE,
    account_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
    inbox_id TEXT COLLATE "C" NOT NULL REFERENCES inboxes (id),
    idempotency_key TEXT COLLATE "C" NOT NULL,
    request_digest TEXT NOT NULL,
    rejection_code TEXT,
    rejection_message TEXT,
    requested_at BIGINT NOT NULL,
    entered_at BIGINT NOT NULL,
    UNIQUE (inbox_id, idempotency_key)
);

CREATE INDEX ledger_by_account ON ledger (account_id, entered_at);

-- What became of each recipient of a sent mail. `action` is empty before the first attempt.
CREATE TABLE recipients (
    mail_id TEXT COLLATE "C" NOT NULL REFERENCES mails (id) ON DELETE CASCADE,
    forward_path TEXT COLLATE "C" NOT NULL,
    position BIGINT NOT NULL,
    action TEXT NOT NULL,
    status TEXT NOT NULL,
    diagnostic TEXT NOT NULL,
    remote_host TEXT NOT NULL,
    attempt BIGINT NOT NULL,
    PRIMARY KEY (mail_id, forward_path)
);

-- Every attempt as it was reported.
CREATE TABLE attempts (
    mail_id TEXT COLLATE "C" NOT NULL REFERENCES mails (id) ON DELETE CASCADE,
    domain TEXT COLLATE "C" NOT NULL,
    attempt BIGINT NOT NULL,
    forward_path TEXT COLLATE "C" NOT NULL,
    action TEXT NOT NULL,
    status TEXT NOT NULL,
    diagnostic TEXT NOT NULL,
    remote_host TEXT NOT NULL,
    tls TEXT NOT NULL,
    attempted_at BIGINT NOT NULL,
    next_attempt_at BIGINT NOT NULL,
    -- 1 if it changed the recipient, 0 if it came too late to.
    applied BIGINT NOT NULL,
    PRIMARY KEY (mail_id, domain, attempt, forward_path)
);

-- The words of each email, as the crate cuts and folds them, without positions.
CREATE TABLE email_words (
    email_id TEXT COLLATE "C" PRIMARY KEY REFERENCES emails (id) ON DELETE CASCADE,
    words TSVECTOR NOT NULL
);

CREATE INDEX email_words_gin ON email_words USING GIN (words);
