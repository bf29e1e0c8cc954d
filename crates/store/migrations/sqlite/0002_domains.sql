-- The domains that accounts bring with them. Those of the operator are in the configuration.
CREATE TABLE domains (
    id TEXT PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    -- In lower case and A-labels.
    domain TEXT NOT NULL,
    status TEXT NOT NULL,
    -- What the last look at each DNS record found, as JSON.
    checks TEXT NOT NULL,
    dkim_selector TEXT NOT NULL,
    -- PKCS#8, sealed with AES-256-GCM; emptied when the domain is deleted.
    rsa_key BLOB NOT NULL,
    ed25519_key BLOB NOT NULL,
    -- As in the DNS records: SubjectPublicKeyInfo, and the bare 32 octets (RFC 8463).
    rsa_public BLOB NOT NULL,
    ed25519_public BLOB NOT NULL,
    created_at BIGINT NOT NULL,
    verified_at BIGINT,
    checked_at BIGINT,
    -- When a gateway is to look next, or until when one that looks now has it to itself.
    next_check_at BIGINT,
    -- How often in a row a verified domain's ownership record was gone.
    misses BIGINT NOT NULL DEFAULT 0,
    deleted_at BIGINT
) WITHOUT ROWID;

-- Anybody can claim a domain; whoever can change its DNS gets it.
CREATE UNIQUE INDEX domains_claimed ON domains (account_id, domain) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX domains_verified ON domains (domain)
    WHERE deleted_at IS NULL AND status = 'verified';
CREATE INDEX domains_due ON domains (next_check_at)
    WHERE deleted_at IS NULL AND next_check_at IS NOT NULL;
