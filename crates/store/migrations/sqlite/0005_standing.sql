-- How an inbox stands. One without a row is good, and nothing of it was reported yet.
CREATE TABLE standings (
    inbox_id TEXT PRIMARY KEY REFERENCES inboxes (id),
    -- "good", "warned" or "stopped": nothing of a stopped inbox is sent.
    state TEXT NOT NULL,
    -- "bounces", "complaints" or "operator"; empty for a good one.
    reason TEXT NOT NULL,
    explanation TEXT NOT NULL,
    since BIGINT NOT NULL,
    -- When it was resumed last, or 0. What was counted before counts no more.
    counted_from BIGINT NOT NULL,
    -- How often the state has changed.
    changes BIGINT NOT NULL
) WITHOUT ROWID;

CREATE INDEX standings_not_good ON standings (state) WHERE state <> 'good';

-- Every change of a state, to be announced and to be looked up.
CREATE TABLE standing_changes (
    inbox_id TEXT NOT NULL REFERENCES standings (inbox_id),
    number BIGINT NOT NULL,
    event TEXT NOT NULL,
    -- As agents see it: JSON.
    standing TEXT NOT NULL,
    changed_at BIGINT NOT NULL,
    announced_at BIGINT,
    PRIMARY KEY (inbox_id, number)
) WITHOUT ROWID;

CREATE INDEX standing_changes_unannounced ON standing_changes (changed_at)
    WHERE announced_at IS NULL;

-- What became of an inbox's recipients, by the day (since 1970, UTC) it was reported. These rows stay
-- when the inbox is purged: its account and domain sent that mail.
CREATE TABLE tallies (
    inbox_id TEXT NOT NULL,
    -- standings.counted_from at the time.
    counted_from BIGINT NOT NULL,
    day BIGINT NOT NULL,
    account_id TEXT NOT NULL,
    domain TEXT NOT NULL,
    attempted BIGINT NOT NULL,
    delivered BIGINT NOT NULL,
    deferred BIGINT NOT NULL,
    bounced BIGINT NOT NULL,
    refused BIGINT NOT NULL,
    complained BIGINT NOT NULL,
    suppressed BIGINT NOT NULL,
    PRIMARY KEY (inbox_id, counted_from, day)
) WITHOUT ROWID;

CREATE INDEX tallies_by_account ON tallies (account_id, day);
CREATE INDEX tallies_by_domain ON tallies (domain, day);
CREATE INDEX tallies_by_day ON tallies (day);

-- Who complained of which mail, so that a repeated report counts once.
CREATE TABLE complaints (
    mail_id TEXT NOT NULL REFERENCES mails (id) ON DELETE CASCADE,
    -- In lower case.
    recipient TEXT NOT NULL,
    noted_at BIGINT NOT NULL,
    PRIMARY KEY (mail_id, recipient)
) WITHOUT ROWID;

-- What the storages judge by, as JSON; the others show it.
CREATE TABLE policies (
    name TEXT PRIMARY KEY,
    policy TEXT NOT NULL
) WITHOUT ROWID;

-- Whom inboxes wrote to within the last hour, and whether they said the same: the brakes' memory.
CREATE TABLE sendings (
    inbox_id TEXT NOT NULL,
    -- In lower case.
    recipient TEXT NOT NULL,
    sent_at BIGINT NOT NULL,
    mail_id TEXT NOT NULL,
    content_digest TEXT NOT NULL,
    is_automatic BIGINT NOT NULL,
    PRIMARY KEY (inbox_id, content_digest, recipient, sent_at, mail_id)
) WITHOUT ROWID;

CREATE INDEX sendings_automatic ON sendings (inbox_id, recipient, sent_at) WHERE is_automatic = 1;
CREATE INDEX sendings_by_time ON sendings (sent_at);
