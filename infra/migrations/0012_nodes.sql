-- What people wish of nodes, what nodes tell of themselves beside their lifecycle, and work that goes on beside a page.

CREATE TABLE node_wish (
    node_id text PRIMARY KEY,
    wanted text NOT NULL CHECK (wanted IN ('serving', 'drained')),
    by_account text NOT NULL,
    reason text NOT NULL DEFAULT '',
    at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE node_wish IS 'whether a process of ours is to serve; it follows within seconds, and keeps the last wish it saw';
COMMENT ON COLUMN node_wish.node_id IS 'as in node_state: node and role, such as node-1/gateway';

CREATE TABLE node_report (
    node_id text PRIMARY KEY,
    incarnation text NOT NULL,
    version text NOT NULL,
    load jsonb NOT NULL DEFAULT '{}',
    told_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE node_report IS 'what a process tells of itself every few seconds: its version, and how much it has to do';

CREATE TABLE node_kek (
    node text NOT NULL,
    file text NOT NULL,
    told_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (node, file)
);
COMMENT ON TABLE node_kek IS 'which key files lie in the folder of keys of a node (node.id), by their names alone';

CREATE TABLE job (
    job_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    kind text NOT NULL CHECK (kind IN ('rewrap', 'update')),
    subject text NOT NULL,
    node_id text NOT NULL,
    by_account text NOT NULL,
    state text NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'done', 'failed', 'cancelled')),
    progress jsonb NOT NULL DEFAULT '{}',
    message text NOT NULL DEFAULT '',
    cancel_wanted boolean NOT NULL DEFAULT false,
    started_at timestamptz NOT NULL DEFAULT now(),
    beat_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz
);
CREATE INDEX job_kind ON job (kind, subject, started_at DESC);
CREATE UNIQUE INDEX job_running ON job (kind, subject) WHERE state = 'running';
COMMENT ON COLUMN job.beat_at IS 'when the process that does it said so last; one that is silent was interrupted';
