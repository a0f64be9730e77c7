-- What operators wish of components, how components stand on every node, and the replays that were asked for.
CREATE TABLE component_wish (
    node_id text NOT NULL,
    component text NOT NULL,
    wanted text NOT NULL CHECK (wanted IN ('running', 'stopped')),
    wished_by text NOT NULL,
    wished_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (node_id, component)
);
COMMENT ON TABLE component_wish IS 'each node''s supervisor follows it; a component without a row runs';

CREATE TABLE component_state (
    node_id text NOT NULL,
    component text NOT NULL,
    phase text NOT NULL,
    detail text NOT NULL DEFAULT '',
    version text NOT NULL DEFAULT '',
    address text NOT NULL DEFAULT '',
    restarts integer NOT NULL DEFAULT 0,
    since timestamptz NOT NULL,
    told_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (node_id, component)
);
COMMENT ON TABLE component_state IS 'told by each node''s supervisor; told_at says how old that is';

CREATE TABLE replay_job (
    run_id text PRIMARY KEY,
    node_id text NOT NULL,
    request jsonb NOT NULL,
    records_per_s double precision NOT NULL DEFAULT 0,
    actor text NOT NULL,
    purpose text NOT NULL DEFAULT '',
    wanted text NOT NULL DEFAULT 'run' CHECK (wanted IN ('run', 'cancel')),
    state text NOT NULL DEFAULT 'waiting'
        CHECK (state IN ('waiting', 'running', 'done', 'cancelled', 'stopped', 'failed')),
    fault text NOT NULL DEFAULT '',
    expected_records bigint,
    expected_bytes bigint,
    progress jsonb NOT NULL DEFAULT '{}',
    asked_at timestamptz NOT NULL DEFAULT now(),
    changed_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX replay_job_time ON replay_job (asked_at DESC);
COMMENT ON COLUMN replay_job.node_id IS 'the node whose gateway runs it';

CREATE INDEX envelope_received ON envelope USING brin (received_at);
