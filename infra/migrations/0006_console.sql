-- Who uses the console and the API: accounts, their sessions and tokens, teams of recorded people, and what concerns sign-in.

CREATE TABLE account (
    account_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name text NOT NULL UNIQUE CHECK (name ~ '^[a-z0-9][a-z0-9._@-]{0,63}$'),
    display_name text NOT NULL DEFAULT '',
    role text NOT NULL CHECK (role IN ('administrator', 'operator', 'officer', 'auditor', 'subject')),
    person text,
    all_teams boolean NOT NULL DEFAULT false,
    unlock_on_server boolean NOT NULL DEFAULT false,
    password_hash text,
    totp_secret bytea,
    totp_last_step bigint NOT NULL DEFAULT 0,
    oidc_subject text UNIQUE,
    disabled boolean NOT NULL DEFAULT false,
    must_change_password boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    changed_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN account.person IS 'user name under which this account''s owner is recorded, if they are';
COMMENT ON COLUMN account.all_teams IS 'sees everybody; otherwise the people of the teams in account_team alone';
COMMENT ON COLUMN account.unlock_on_server IS 'may have the server open end-to-end data (R6.6); the browser''s way is open to every officer';
COMMENT ON COLUMN account.totp_secret IS 'sealed with the installation''s account key, secrets/accounts.key';

CREATE TABLE recovery_code (
    account_id uuid NOT NULL REFERENCES account ON DELETE CASCADE,
    code_hash bytea NOT NULL,
    used_at timestamptz,
    PRIMARY KEY (account_id, code_hash)
);

CREATE TABLE account_link (
    secret_hash bytea PRIMARY KEY,
    account_id uuid REFERENCES account ON DELETE CASCADE,
    role text,
    expires_at timestamptz NOT NULL,
    used_at timestamptz
);
COMMENT ON TABLE account_link IS 'one-time links: the first administrator''s (no account yet), and for setting a password';

CREATE TABLE sign_in_failure (
    failure_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    address text NOT NULL,
    failed_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX sign_in_failure_name ON sign_in_failure (name, failed_at);
CREATE INDEX sign_in_failure_address ON sign_in_failure (address, failed_at);

CREATE TABLE account_session (
    session_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    token_hash bytea NOT NULL UNIQUE,
    account_id uuid NOT NULL REFERENCES account ON DELETE CASCADE,
    started_at timestamptz NOT NULL DEFAULT now(),
    seen_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    address text NOT NULL DEFAULT '',
    browser text NOT NULL DEFAULT '',
    way text NOT NULL DEFAULT 'password' CHECK (way IN ('password', 'oidc', 'link'))
);
CREATE INDEX account_session_account ON account_session (account_id);

CREATE TABLE api_token (
    token_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    token_hash bytea NOT NULL UNIQUE,
    account_id uuid NOT NULL REFERENCES account ON DELETE CASCADE,
    name text NOT NULL,
    scopes text[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    used_at timestamptz,
    UNIQUE (account_id, name)
);
COMMENT ON COLUMN api_token.scopes IS 'permissions of gateway/api/access.py; never more than the account''s role has';

-- Teams of recorded people, by the user name that their agents tell.
CREATE TABLE team (
    name text PRIMARY KEY CHECK (name <> ''),
    note text NOT NULL DEFAULT ''
);
CREATE TABLE team_member (
    team text NOT NULL REFERENCES team ON DELETE CASCADE ON UPDATE CASCADE,
    user_name text NOT NULL,
    PRIMARY KEY (team, user_name)
);
CREATE INDEX team_member_user ON team_member (user_name);
CREATE TABLE account_team (
    account_id uuid NOT NULL REFERENCES account ON DELETE CASCADE,
    team text NOT NULL REFERENCES team ON DELETE CASCADE ON UPDATE CASCADE,
    PRIMARY KEY (account_id, team)
);
