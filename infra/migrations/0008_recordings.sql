-- What the console shows of recordings, and what people keep of their searches and take away with them.
CREATE INDEX alert_agent ON alert (agent_id, raised_at);
CREATE INDEX agent_user ON agent (user_name);
CREATE INDEX session_agent ON session (agent_id, disconnected_at);

CREATE TABLE saved_search (
    saved_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    owner uuid NOT NULL,
    owner_name text NOT NULL,
    name text NOT NULL,
    query jsonb NOT NULL,
    shared boolean NOT NULL DEFAULT false,
    changed_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (owner, name)
);
COMMENT ON COLUMN saved_search.owner IS 'the account; one that is gone leaves what it shared';

CREATE TABLE export (
    reference text PRIMARY KEY,
    account uuid NOT NULL,
    actor text NOT NULL,
    person text NOT NULL,
    agents uuid[] NOT NULL,
    streams text[] NOT NULL,
    since_at timestamptz NOT NULL,
    until_at timestamptz NOT NULL,
    kind text NOT NULL CHECK (kind IN ('clip', 'text')),
    purpose text NOT NULL,
    issued_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX export_account ON export (account, issued_at);
COMMENT ON TABLE export IS 'what was taken out: the reference stands in the clip or the text, and in the audit';
