-- What is kept although its time is over, and when what was older was erased.
CREATE TABLE retention_hold (
    hold_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    agent_id uuid,
    person text,
    since date,
    until date,
    purpose text NOT NULL CHECK (purpose <> ''),
    placed_by text NOT NULL,
    placed_at timestamptz NOT NULL DEFAULT now(),
    released_by text,
    released_at timestamptz,
    CHECK (num_nonnulls(agent_id, person) = 1),
    CHECK (until >= since)
);
COMMENT ON TABLE retention_hold IS 'nothing of that agent or person and those days (UTC, both included) is erased by retention until released';
COMMENT ON COLUMN retention_hold.since IS 'empty: from the beginning on';
COMMENT ON COLUMN retention_hold.until IS 'empty: without an end';

CREATE TABLE retention_run (
    run_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    actor text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    outcome text NOT NULL DEFAULT 'running' CHECK (outcome IN ('running', 'done', 'failed')),
    detail jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX retention_run_time ON retention_run (started_at DESC);
COMMENT ON COLUMN retention_run.outcome IS 'running without an end: the process died; the next run goes on';
