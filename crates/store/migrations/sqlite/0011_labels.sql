-- The labels that an account uses. One that is on no email any more makes room for another.
CREATE TABLE labels (
    account_id TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    label TEXT NOT NULL,
    PRIMARY KEY (account_id, label)
) WITHOUT ROWID;

-- What is on which email.
CREATE TABLE email_labels (
    email_id TEXT NOT NULL REFERENCES emails (id) ON DELETE CASCADE,
    account_id TEXT NOT NULL,
    label TEXT NOT NULL,
    PRIMARY KEY (email_id, label)
) WITHOUT ROWID;
CREATE INDEX email_labels_by_label ON email_labels (account_id, label);
