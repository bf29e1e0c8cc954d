-- What received mails say, for as long as it may add up with what comes after them in the same thread or
-- from the same sender.
CREATE TABLE carried (
    email_id TEXT COLLATE "C" PRIMARY KEY REFERENCES emails (id) ON DELETE CASCADE,
    inbox_id TEXT COLLATE "C" NOT NULL,
    -- The address in From, in lower case; empty if there is none.
    sender TEXT COLLATE "C" NOT NULL,
    -- What its sender wrote, without what he quoted; cut.
    text TEXT NOT NULL,
    -- The injection risk score of the mail alone, in millionths.
    score BIGINT NOT NULL,
    carried_at BIGINT NOT NULL
);

CREATE INDEX carried_by_sender ON carried (inbox_id, sender, carried_at);
CREATE INDEX carried_expiring ON carried (carried_at);
