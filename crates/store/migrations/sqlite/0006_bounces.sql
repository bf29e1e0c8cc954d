-- What was reported of recipients after the session: delivery status notifications (RFC 3464),
-- complaints (RFC 5965), receipts (RFC 8098).
CREATE TABLE reports (
    mail_id TEXT NOT NULL REFERENCES mails (id) ON DELETE CASCADE,
    forward_path TEXT NOT NULL,
    -- 'dsn', 'arf', 'mdn', or 'claim', which proves nothing.
    source TEXT NOT NULL,
    action TEXT NOT NULL,
    status TEXT NOT NULL,
    diagnostic TEXT NOT NULL,
    remote_host TEXT NOT NULL,
    -- The mail that brought it. The same by another mail is no news.
    report_id TEXT NOT NULL,
    reported_at BIGINT NOT NULL,
    -- 1 if it was news, and is announced.
    applied BIGINT NOT NULL,
    PRIMARY KEY (mail_id, forward_path, source, action)
) WITHOUT ROWID;

-- What is known beside the action: 'delivered', 'failed' or 'complained' by a report, 'suppressed' if no
-- mail went out.
ALTER TABLE recipients ADD COLUMN reported TEXT NOT NULL DEFAULT '';

-- What the request wants to be notified of: some of 'failure', 'delay', 'success', with commas.
ALTER TABLE ledger ADD COLUMN notify TEXT NOT NULL DEFAULT '';

-- Who lifted it: an account, or 'new inbox' where the address came into being here.
ALTER TABLE suppressions ADD COLUMN lifted_by TEXT;

-- Addresses that nobody here may send to.
CREATE TABLE global_suppressions (
    -- In lower case.
    address TEXT PRIMARY KEY,
    reason TEXT NOT NULL,
    evidence TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    lifted_at BIGINT,
    lifted_by TEXT
) WITHOUT ROWID;

-- When it was made; 0 for those from before this was noted.
ALTER TABLE secrets ADD COLUMN made_at BIGINT NOT NULL DEFAULT 0;
