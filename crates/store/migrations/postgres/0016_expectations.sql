-- What agents wait for in their inboxes, and what came of it.
CREATE TABLE expectations (
    id TEXT COLLATE "C" PRIMARY KEY,
    account_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
    -- No reference: what waits outlives its inbox, so that it comes to an end that is announced.
    inbox_id TEXT COLLATE "C" NOT NULL,
    -- Of the request that made it, within the inbox.
    idempotency_key TEXT COLLATE "C" NOT NULL,
    -- "reply", "code", "link" or "any".
    kind TEXT NOT NULL,
    -- A Message-ID without angle brackets.
    in_reply_to TEXT,
    -- In lower case.
    from_domain TEXT,
    -- From "waiting" once to "matched", "ambiguous", "expired" or "cancelled".
    state TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    deadline BIGINT NOT NULL,
    settled_at BIGINT,
    email_id TEXT COLLATE "C",
    code TEXT,
    link TEXT,
    -- `contract::ExpectationCandidate`s as JSON.
    candidates TEXT NOT NULL,
    -- A `contract::PassedOver` as JSON.
    passed_over TEXT,
    UNIQUE (inbox_id, idempotency_key)
);

CREATE INDEX expectations_by_inbox ON expectations (inbox_id, created_at, id);
CREATE INDEX expectations_waiting ON expectations (inbox_id, created_at, id) WHERE state = 'waiting';
CREATE INDEX expectations_due ON expectations (deadline) WHERE state = 'waiting';
CREATE INDEX expectations_settled ON expectations (settled_at) WHERE settled_at IS NOT NULL;
CREATE INDEX expectations_handed_out ON expectations (inbox_id, settled_at)
    WHERE settled_at IS NOT NULL;
