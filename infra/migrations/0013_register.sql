-- What several masters share of enrolment: tokens, the register of certificates, what is revoked, and what agents say they know.
CREATE TABLE enrolment_token (
    secret_hash text PRIMARY KEY CHECK (secret_hash ~ '^[0-9a-f]{64}$'),
    uses_left integer NOT NULL CHECK (uses_left >= 0),
    expires_at timestamptz NOT NULL,
    made_by text NOT NULL DEFAULT '',
    made_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE enrolment_token IS 'a row that is used up stays until it expires: a file that is taken in once more does not revive it';
COMMENT ON COLUMN enrolment_token.made_by IS 'node.id of the node where it was made';

CREATE TABLE issued_certificate (
    serial text PRIMARY KEY CHECK (serial ~ '^[0-9A-F]{2,40}$'),
    number bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    kind text NOT NULL CHECK (kind IN ('agent', 'server', 'client')),
    name text NOT NULL,
    pin text NOT NULL,
    issuer text NOT NULL,
    issued_ms bigint NOT NULL,
    expires_ms bigint NOT NULL,
    backup_pin text NOT NULL DEFAULT ''
);
CREATE INDEX issued_certificate_name ON issued_certificate (name, issued_ms);
COMMENT ON COLUMN issued_certificate.number IS 'grows in the order of commit, since writers lock the table: nodes follow it';

CREATE TABLE revocation (
    what text PRIMARY KEY,
    number bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    revoked_by text NOT NULL DEFAULT '',
    revoked_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN revocation.what IS 'the id of an agent, or serial:HEX; as in enrol/revoked.txt of each node';

CREATE TABLE trust_heard (
    agent_id uuid PRIMARY KEY,
    version bigint NOT NULL,
    heard_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE trust_heard IS 'which version of the CAs and pins each agent says that it has';
