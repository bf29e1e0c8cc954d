-- The labels that an account uses. One that is on no email any more makes room for another.
CREATE TABLE labels (
    account_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    label TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (account_id, label)
);

-- What is on which email.
CREATE TABLE email_labels (
    email_id TEXT COLLATE "C" NOT NULL REFERENCES emails (id) ON DELETE CASCADE,
    account_id TEXT COLLATE "C" NOT NULL,
    label TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (email_id, label)
);
CREATE INDEX email_labels_by_label ON email_labels (account_id, label);
