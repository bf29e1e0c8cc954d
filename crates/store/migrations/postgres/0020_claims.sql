-- The key of the claim that a lease was given for: who lost the answer asks with it again.
ALTER TABLE leases ADD COLUMN claim_key TEXT;

CREATE INDEX leases_by_claim ON leases (inbox_id, claim_key) WHERE claim_key IS NOT NULL;
