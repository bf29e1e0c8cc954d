-- What is to be announced as an event: written together with what it announces, published by storage.
CREATE TABLE announcements (
    event_id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL,
    -- Empty if it is about no inbox.
    inbox_id TEXT NOT NULL,
    event TEXT NOT NULL,
    -- As agents see it: JSON.
    data TEXT NOT NULL,
    happened_at BIGINT NOT NULL
) WITHOUT ROWID;

CREATE INDEX announcements_in_order ON announcements (happened_at, event_id);

-- The gateway writes what an account says of its webhooks, posthouse-webhooks how they get on.
CREATE TABLE webhooks (
    id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    -- Only events of this inbox.
    inbox_id TEXT,
    url TEXT NOT NULL,
    -- Names, as JSON; all if there are none.
    events TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    -- Secrets are derived from this number; the one before counts until then.
    secret_number BIGINT NOT NULL,
    previous_until BIGINT NOT NULL,
    enabled BIGINT NOT NULL,
    -- "account", "failing" or "gone"; empty while it is enabled.
    disabled_reason TEXT NOT NULL,
    disabled_at BIGINT,
    -- When the stream of events was made, and how far in it this webhook is: every event up to there was
    -- delivered, or waits in a lane.
    stream BIGINT NOT NULL,
    position BIGINT NOT NULL,
    -- The newest event that it has to hear of.
    wanted BIGINT NOT NULL,
    -- Who is at work on it, and until when nobody else is.
    owner TEXT NOT NULL,
    leased_until BIGINT NOT NULL,
    -- Failed attempts in a row, whatever the inbox, and since when.
    failures BIGINT NOT NULL,
    failing_since BIGINT,
    -- Nothing is tried before.
    resume_at BIGINT NOT NULL,
    last_success_at BIGINT
) WITHOUT ROWID;

CREATE INDEX webhooks_by_account ON webhooks (account_id, created_at, id);

-- An inbox whose events wait for one that could not be delivered yet, or that was not come to.
CREATE TABLE webhook_lanes (
    webhook_id TEXT NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    inbox_id TEXT NOT NULL,
    -- The event that is next.
    sequence BIGINT NOT NULL,
    -- Of that event.
    attempts BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    PRIMARY KEY (webhook_id, inbox_id)
) WITHOUT ROWID;

CREATE INDEX webhook_lanes_by_due ON webhook_lanes (webhook_id, due_at);

-- What was tried: the newest of each webhook.
CREATE TABLE webhook_attempts (
    -- Rises.
    id TEXT PRIMARY KEY,
    webhook_id TEXT NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    event_id TEXT NOT NULL,
    event TEXT NOT NULL,
    inbox_id TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    -- 1 for the first; 0 for a ping or what was asked for again.
    attempt BIGINT NOT NULL,
    -- "delivered", "failed" or "given_up".
    outcome TEXT NOT NULL,
    -- Of HTTP; 0 without an answer.
    status BIGINT NOT NULL,
    error TEXT NOT NULL,
    duration_ms BIGINT NOT NULL,
    attempted_at BIGINT NOT NULL,
    next_attempt_at BIGINT
) WITHOUT ROWID;

CREATE INDEX webhook_attempts_by_webhook ON webhook_attempts (webhook_id, id);
CREATE INDEX webhook_attempts_by_event ON webhook_attempts (webhook_id, event_id, id);
