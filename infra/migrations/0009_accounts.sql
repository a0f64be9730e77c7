-- What accounts need beyond their tables: when a session last proved who it is, secrets that were used, and quick answers
-- to "who looked at me?".

ALTER TABLE account_session ADD COLUMN fresh_at timestamptz NOT NULL DEFAULT now();
COMMENT ON COLUMN account_session.fresh_at IS 'when its owner last showed a password or signed in: changes of accounts need it recent';

ALTER TABLE account ADD COLUMN totp_pending bytea;
COMMENT ON COLUMN account.totp_pending IS 'a TOTP secret that was shown and has yet to be confirmed by a code; sealed like totp_secret';

COMMENT ON COLUMN sign_in_failure.name IS 'SHA-256 of what was typed: a password typed into the wrong field is not kept';

CREATE TABLE spent_secret (
    secret_hash bytea PRIMARY KEY,
    expires_at timestamptz NOT NULL
);
COMMENT ON TABLE spent_secret IS 'sealed challenges and states that were used: each works once, on whichever gateway';

CREATE INDEX audit_entry_actor ON audit_entry (actor text_pattern_ops, happened_at);
CREATE INDEX audit_entry_action ON audit_entry (action, happened_at);
CREATE INDEX audit_entry_target ON audit_entry (target text_pattern_ops, happened_at);
CREATE INDEX audit_entry_persons ON audit_entry USING gin (string_to_array(detail->>'persons', ','));
CREATE INDEX audit_entry_agents ON audit_entry USING gin (string_to_array(split_part(target, ' ', 1), ','));
