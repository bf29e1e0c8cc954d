-- Inboxes that workers share, from their first claim or setting on.
CREATE TABLE work_queues (
    inbox_id TEXT PRIMARY KEY REFERENCES inboxes (id) ON DELETE CASCADE,
    -- A mail that was handed out so often is set aside.
    max_attempts BIGINT NOT NULL,
    -- emails.created_at: received mail up to here is in work_items.
    position BIGINT NOT NULL
) WITHOUT ROWID;

-- What became of a received mail among its inbox's workers.
CREATE TABLE work_items (
    email_id TEXT PRIMARY KEY REFERENCES emails (id) ON DELETE CASCADE,
    inbox_id TEXT NOT NULL,
    -- The thread, or the email where there is none. At most one mail of a lane is 'ready', 'leased' or
    -- 'delayed'; 'blocked' are those behind it. 'acked' and 'set_aside' are out of the way.
    lane TEXT NOT NULL,
    state TEXT NOT NULL,
    -- emails.created_at.
    position BIGINT NOT NULL,
    -- How often it was handed out.
    attempts BIGINT NOT NULL,
    -- Of a leased one.
    lease_id TEXT,
    -- When the lease or the delay ends.
    due_at BIGINT,
    -- Why it was set aside, and when.
    reason TEXT NOT NULL,
    set_aside_at BIGINT
) WITHOUT ROWID;

CREATE INDEX work_items_by_state ON work_items (inbox_id, state, position);
CREATE INDEX work_items_by_lane ON work_items (lane, state, position);
CREATE INDEX work_items_due ON work_items (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX work_items_due_in_inbox ON work_items (inbox_id, due_at) WHERE due_at IS NOT NULL;

-- That a worker has a mail in hand, or had. The identifier is what he proves it with.
CREATE TABLE leases (
    id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL,
    inbox_id TEXT NOT NULL,
    email_id TEXT NOT NULL REFERENCES emails (id) ON DELETE CASCADE,
    worker TEXT NOT NULL,
    attempt BIGINT NOT NULL,
    -- 'active', or how it ended: 'acked', 'nacked', 'expired', 'revoked'.
    state TEXT NOT NULL,
    claimed_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    ended_at BIGINT,
    -- Of a nack: what the worker said.
    reason TEXT NOT NULL
) WITHOUT ROWID;

CREATE INDEX leases_by_email ON leases (email_id);
CREATE INDEX leases_ended ON leases (ended_at) WHERE ended_at IS NOT NULL;

-- The lease that a request was accepted under.
ALTER TABLE ledger ADD COLUMN lease_id TEXT;
