-- What speaks against sending to an address, for one account: a row for each piece of evidence. An
-- address is suppressed while the rows that are neither lifted nor expired have three strikes.
CREATE TABLE suppressions (
    account_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
    -- In lower case.
    address TEXT COLLATE "C" NOT NULL,
    -- The mail it comes from, or what names a decision of the account.
    source TEXT COLLATE "C" NOT NULL,
    reason TEXT NOT NULL,
    evidence TEXT NOT NULL,
    strikes BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    lifted_at BIGINT,
    PRIMARY KEY (account_id, address, source)
);

CREATE INDEX suppressions_by_address ON suppressions (address);
