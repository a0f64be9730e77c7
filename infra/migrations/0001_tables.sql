-- What is known of agents, endpoints, sessions, envelopes, activity and nodes. Every key is an identity that comes with
-- the record, so that writing it twice is writing it once. Text and times come from records, never from the clock here.

-- KEKs of the server (R6.5): the three columns first and as the datasheet names them.
CREATE TABLE encryption_kek (
    pub_datafile text PRIMARY KEY,
    priv_datafile text,
    priv_encrypted boolean NOT NULL DEFAULT true,
    registered_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE agent (
    agent_id uuid PRIMARY KEY,
    user_name text NOT NULL DEFAULT '',
    computer text NOT NULL DEFAULT '',
    first_seen_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    connected boolean NOT NULL DEFAULT false,
    since timestamptz,
    gateway text NOT NULL DEFAULT '',
    gaps integer NOT NULL DEFAULT 0
);
COMMENT ON COLUMN agent.since IS 'when it connected or disconnected last';

CREATE TABLE endpoint (
    computer text PRIMARY KEY,
    platform text NOT NULL DEFAULT '',
    software text NOT NULL DEFAULT '',
    first_seen_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL
);

CREATE TABLE session (
    agent_id uuid NOT NULL,
    connected_at timestamptz NOT NULL,
    gateway text NOT NULL,
    user_name text NOT NULL DEFAULT '',
    computer text NOT NULL DEFAULT '',
    address text NOT NULL DEFAULT '',
    disconnected_at timestamptz,
    PRIMARY KEY (agent_id, connected_at, gateway)
);
CREATE INDEX session_open ON session (gateway) WHERE disconnected_at IS NULL;

CREATE TABLE gap (
    kafka_partition integer NOT NULL,
    kafka_offset bigint NOT NULL,
    agent_id uuid NOT NULL,
    noticed_at timestamptz NOT NULL,
    stream text NOT NULL DEFAULT '',
    reason text NOT NULL DEFAULT '',
    detail jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (kafka_partition, kafka_offset)
);
CREATE INDEX gap_agent ON gap (agent_id, noticed_at);

CREATE TABLE node_state (
    node_id text PRIMARY KEY,
    role text NOT NULL,
    state text NOT NULL,
    since timestamptz NOT NULL,
    address text NOT NULL DEFAULT '',
    incarnation text NOT NULL DEFAULT ''
);

CREATE TABLE envelope (
    agent_id uuid NOT NULL,
    epoch_id bytea NOT NULL,
    sequence bigint NOT NULL,
    stream text NOT NULL,
    captured_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    bytes integer NOT NULL,
    end_to_end boolean NOT NULL,
    kafka_partition integer NOT NULL,
    kafka_offset bigint NOT NULL,
    PRIMARY KEY (agent_id, epoch_id, sequence)
);
CREATE INDEX envelope_captured ON envelope USING brin (captured_at);
COMMENT ON TABLE envelope IS 'where in Kafka each envelope stands (topic envelopes.<stream>); the archive has its own index';

CREATE TABLE activity_span (
    agent_id uuid NOT NULL,
    epoch_id bytea NOT NULL,
    sequence bigint NOT NULL,
    ordinal integer NOT NULL,
    user_name text NOT NULL,
    computer text NOT NULL,
    application text NOT NULL,
    hour timestamptz NOT NULL,
    active_ms bigint NOT NULL,
    idle_ms bigint NOT NULL,
    switches integer NOT NULL,
    PRIMARY KEY (agent_id, epoch_id, sequence, ordinal)
);
CREATE INDEX activity_span_hour ON activity_span (hour, user_name);
COMMENT ON TABLE activity_span IS 'what one segment adds; sums are the views activity_hour, activity_day and person_day';

CREATE VIEW activity_hour AS
SELECT hour, user_name, application,
       sum(active_ms)::bigint AS active_ms, sum(idle_ms)::bigint AS idle_ms, sum(switches)::bigint AS switches
FROM activity_span GROUP BY hour, user_name, application;

CREATE VIEW activity_day AS
SELECT (hour AT TIME ZONE 'UTC')::date AS day, user_name, application,
       sum(active_ms)::bigint AS active_ms, sum(idle_ms)::bigint AS idle_ms, sum(switches)::bigint AS switches
FROM activity_span GROUP BY 1, user_name, application;

CREATE VIEW person_day AS
SELECT (hour AT TIME ZONE 'UTC')::date AS day, user_name,
       sum(active_ms)::bigint AS active_ms, sum(idle_ms)::bigint AS idle_ms,
       count(DISTINCT application) FILTER (WHERE active_ms > 0) AS applications
FROM activity_span GROUP BY 1, user_name;

CREATE TABLE alert (
    kafka_partition integer NOT NULL,
    kafka_offset bigint NOT NULL,
    raised_at timestamptz NOT NULL,
    rule text NOT NULL,
    agent_id uuid NOT NULL,
    document_id text NOT NULL DEFAULT '',
    detail jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (kafka_partition, kafka_offset)
);

CREATE TABLE audit_entry (
    kafka_partition integer NOT NULL,
    kafka_offset bigint NOT NULL,
    happened_at timestamptz NOT NULL,
    actor text NOT NULL,
    action text NOT NULL,
    target text NOT NULL,
    purpose text NOT NULL DEFAULT '',
    outcome text NOT NULL,
    detail jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (kafka_partition, kafka_offset)
);
CREATE INDEX audit_entry_time ON audit_entry (happened_at);

-- Which records of a topic are folded into agent, session and node_state: a fold must see each of them once, in order.
CREATE TABLE folded_offset (
    topic text NOT NULL,
    kafka_partition integer NOT NULL,
    next_offset bigint NOT NULL,
    PRIMARY KEY (topic, kafka_partition)
);

-- The archive's index: made from its files, and made again from them at any time.
CREATE TABLE archive_file (
    file text PRIMARY KEY,
    stream text NOT NULL,
    day date NOT NULL,
    indexed_bytes bigint NOT NULL
);

CREATE TABLE archive_run (
    file text NOT NULL REFERENCES archive_file ON DELETE CASCADE,
    byte_offset bigint NOT NULL,
    byte_length bigint NOT NULL,
    agent_id uuid NOT NULL,
    epoch_id bytea NOT NULL,
    first_sequence bigint NOT NULL,
    last_sequence bigint NOT NULL,
    stream text NOT NULL,
    first_captured_at timestamptz NOT NULL,
    last_captured_at timestamptz NOT NULL,
    PRIMARY KEY (file, byte_offset)
);
CREATE INDEX archive_run_agent ON archive_run (agent_id, stream, last_captured_at);
COMMENT ON TABLE archive_run IS 'consecutive records of one epoch that stand together in an archive file';
