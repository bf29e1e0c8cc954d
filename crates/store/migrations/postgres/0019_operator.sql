-- What operators did by `posthouse …`, and why. A dry run leaves nothing here.
CREATE TABLE operator_audit (
    -- Rises.
    id TEXT COLLATE "C" PRIMARY KEY,
    at BIGINT NOT NULL,
    -- The user of the operating system and the host: "ann@bastion-1".
    who TEXT COLLATE "C" NOT NULL,
    -- Its words: "dead requeue".
    command TEXT COLLATE "C" NOT NULL,
    -- What it was about: "account acct_1".
    target TEXT COLLATE "C" NOT NULL,
    reason TEXT COLLATE "C" NOT NULL,
    -- "begun" until it ended, then "done" or "failed".
    outcome TEXT COLLATE "C" NOT NULL,
    -- What it said in the end.
    detail TEXT COLLATE "C" NOT NULL
);

-- What operators keep from going out for a while.
CREATE TABLE suspensions (
    -- "account", "inbox", or "domain": of the recipients, in lower case and A-labels.
    scope TEXT COLLATE "C" NOT NULL,
    target TEXT COLLATE "C" NOT NULL,
    since BIGINT NOT NULL,
    -- NULL: until it is resumed.
    until BIGINT,
    who TEXT COLLATE "C" NOT NULL,
    reason TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (scope, target)
);

-- By what people ask for a mail.
CREATE INDEX mails_by_message_id ON mails (message_id) WHERE message_id IS NOT NULL;
CREATE INDEX recipients_by_address ON recipients (lower(forward_path));
CREATE INDEX ledger_by_key ON ledger (idempotency_key);
