-- What a person would read in an attachment, by its place among those of the mail.
CREATE TABLE attachment_texts (
    mail_id TEXT NOT NULL REFERENCES mails (id) ON DELETE CASCADE,
    place BIGINT NOT NULL,
    text TEXT NOT NULL,
    truncated BIGINT NOT NULL,
    PRIMARY KEY (mail_id, place)
);
