-- What operators did by `posthouse …`, and why. A dry run leaves nothing here.
CREATE TABLE operator_audit (
    -- Rises.
    id TEXT PRIMARY KEY,
    at BIGINT NOT NULL,
    -- The user of the operating system and the host: "ann@bastion-1".
    who TEXT NOT NULL,
    -- Its words: "dead requeue".
    command TEXT NOT NULL,
    -- What it was about: "account acct_1".
    target TEXT NOT NULL,
    reason TEXT NOT NULL,
    -- "begun" until it ended, then "done" or "failed".
    outcome TEXT NOT NULL,
    -- What it said in the end.
    detail TEXT NOT NULL
) WITHOUT ROWID;

-- What operators keep from going out for a while.
CREATE TABLE suspensions (
    -- "account", "inbox", or "domain": of the recipients, in lower case and A-labels.
    scope TEXT NOT NULL,
    target TEXT NOT NULL,
    since BIGINT NOT NULL,
    -- NULL: until it is resumed.
    until BIGINT,
    who TEXT NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (scope, target)
) WITHOUT ROWID;

-- By what people ask for a mail.
CREATE INDEX mails_by_message_id ON mails (message_id) WHERE message_id IS NOT NULL;
CREATE INDEX recipients_by_address ON recipients (lower(forward_path));
CREATE INDEX ledger_by_key ON ledger (idempotency_key);
