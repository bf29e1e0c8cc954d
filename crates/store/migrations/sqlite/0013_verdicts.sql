-- What a mail was judged before, by verdicts that were replaced.
CREATE TABLE verdicts (
    mail_id TEXT NOT NULL REFERENCES mails (id) ON DELETE CASCADE,
    -- When the next verdict was made; names that judgement.
    replaced_at BIGINT NOT NULL,
    -- JSON, as in mails.
    security TEXT NOT NULL,
    PRIMARY KEY (mail_id, replaced_at)
) WITHOUT ROWID;
