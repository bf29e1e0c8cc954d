-- Whoever runs the service signs in at the console with these; kept by their SHA-256, as tokens are.
CREATE TABLE operator_tokens (
    hash TEXT NOT NULL PRIMARY KEY,
    label TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT
) WITHOUT ROWID;

-- Who is signed in. A session is worth what its token is worth, which is looked up each time.
CREATE TABLE console_sessions (
    -- SHA-256 of the cookie.
    hash TEXT NOT NULL PRIMARY KEY,
    token_hash TEXT NOT NULL,
    -- 1 if the token is an operator's.
    is_operator BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
) WITHOUT ROWID;

CREATE INDEX console_sessions_expiring ON console_sessions (expires_at);
