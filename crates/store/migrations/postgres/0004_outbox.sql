-- Mail that is in the ledger and on its way to the sender. `state` goes from waiting over releasing and
-- released to attempted, or ends as cancelled or expired.
CREATE TABLE outbox (
    email_id TEXT PRIMARY KEY REFERENCES emails (id) ON DELETE CASCADE,
    inbox_id TEXT NOT NULL,
    state TEXT NOT NULL,
    -- Not before then; among those that are due, the earlier ones go first.
    due_at BIGINT NOT NULL,
    position BIGINT NOT NULL,
    -- Given up then; 0 for never.
    expires_at BIGINT NOT NULL,
    -- The SubmissionAccepted that tells the sender.
    handover BYTEA NOT NULL,
    -- Recipients the inbox never wrote to before; NULL until they are counted.
    new_recipients BIGINT,
    held_reason TEXT,
    held_until BIGINT,
    released_at BIGINT,
    -- When the first attempt was recorded.
    attempted_at BIGINT,
    -- The event that has yet to be published; empty for none.
    announce TEXT NOT NULL
);

-- Each serves one question, and has only the rows it is about. Where rows are counted, it also has their
-- state: SQLite would look each up that its condition has decided already.
CREATE INDEX outbox_waiting ON outbox (inbox_id, due_at, position, state)
    WHERE state = 'waiting';
CREATE INDEX outbox_untold ON outbox (inbox_id, due_at)
    WHERE state = 'waiting' AND held_reason IS NULL;
CREATE INDEX outbox_put_off ON outbox (inbox_id)
    WHERE state = 'waiting' AND new_recipients IS NULL AND held_reason IS NOT NULL;
CREATE INDEX outbox_expiring ON outbox (expires_at) WHERE state = 'waiting' AND expires_at > 0;
CREATE INDEX outbox_outstanding ON outbox (inbox_id, state)
    WHERE state IN ('releasing', 'released');
CREATE INDEX outbox_releasing ON outbox (released_at) WHERE state = 'releasing';
CREATE INDEX outbox_attempted ON outbox (inbox_id, attempted_at, state)
    WHERE state = 'attempted';
CREATE INDEX outbox_new_recipients ON outbox (inbox_id, attempted_at) WHERE new_recipients > 0;
CREATE INDEX outbox_announce ON outbox (email_id) WHERE announce <> '';

-- The inboxes that ever sent, and their turns.
CREATE TABLE queues (
    inbox_id TEXT PRIMARY KEY,
    -- When its waiting mail is looked at; who waits longest comes first. NULL if none waits.
    next_release BIGINT,
    first_released_at BIGINT
);

CREATE INDEX queues_due ON queues (next_release) WHERE next_release IS NOT NULL;

-- What the operator decided for an inbox; NULL leaves it to the tier.
CREATE TABLE inbox_limits (
    inbox_id TEXT PRIMARY KEY,
    per_minute BIGINT,
    per_hour BIGINT,
    per_day BIGINT,
    new_recipients_per_day BIGINT
);

-- Whom an inbox wrote to, in lower case, and with which mail first.
CREATE TABLE correspondents (
    inbox_id TEXT NOT NULL,
    address TEXT NOT NULL,
    email_id TEXT NOT NULL,
    first_at BIGINT NOT NULL,
    PRIMARY KEY (inbox_id, address)
);

-- Submissions accepted, by days since 1970 (UTC).
CREATE TABLE account_days (
    account_id TEXT NOT NULL REFERENCES accounts (id),
    day BIGINT NOT NULL,
    accepted BIGINT NOT NULL,
    PRIMARY KEY (account_id, day)
);

INSERT INTO account_days (account_id, day, accepted)
    SELECT account_id, entered_at / 86400000000, COUNT(*) FROM ledger
    WHERE rejection_code IS NULL GROUP BY account_id, entered_at / 86400000000;

-- When the request wants it to go, if later.
ALTER TABLE ledger ADD COLUMN send_at BIGINT;
