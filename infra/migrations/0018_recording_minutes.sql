-- What the archive has of each minute, kept with its index: a timeline of a day or a month reads a few thousand rows.
CREATE TABLE archive_minute (
    agent_id uuid NOT NULL,
    stream text NOT NULL,
    minute timestamptz NOT NULL,
    epoch_id bytea NOT NULL,
    first_captured_at timestamptz NOT NULL,
    last_captured_at timestamptz NOT NULL,
    envelopes bigint NOT NULL,
    bytes bigint NOT NULL,
    PRIMARY KEY (agent_id, stream, minute, epoch_id)
) WITH (fillfactor = 70);
COMMENT ON TABLE archive_minute IS 'sums of archive_run by the minute in which a run began; made by its triggers alone';

CREATE FUNCTION add_to_archive_minute() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO archive_minute AS minutes
    SELECT agent_id, stream, date_trunc('minute', first_captured_at, 'UTC') AS minute, epoch_id,
           min(first_captured_at), max(last_captured_at), sum(last_sequence - first_sequence + 1), sum(byte_length)
    FROM fresh GROUP BY agent_id, stream, minute, epoch_id ORDER BY agent_id, stream, minute, epoch_id
    ON CONFLICT (agent_id, stream, minute, epoch_id) DO UPDATE SET
        first_captured_at = least(minutes.first_captured_at, EXCLUDED.first_captured_at),
        last_captured_at = greatest(minutes.last_captured_at, EXCLUDED.last_captured_at),
        envelopes = minutes.envelopes + EXCLUDED.envelopes,
        bytes = minutes.bytes + EXCLUDED.bytes;
    RETURN NULL;
END
$$;

CREATE FUNCTION take_from_archive_minute() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE archive_minute minutes SET envelopes = minutes.envelopes - gone.envelopes, bytes = minutes.bytes - gone.bytes
    FROM (
        SELECT agent_id, stream, date_trunc('minute', first_captured_at, 'UTC') AS minute, epoch_id,
               sum(last_sequence - first_sequence + 1) AS envelopes, sum(byte_length) AS bytes
        FROM stale GROUP BY agent_id, stream, minute, epoch_id
    ) gone
    WHERE minutes.agent_id = gone.agent_id AND minutes.stream = gone.stream
      AND minutes.minute = gone.minute AND minutes.epoch_id = gone.epoch_id;
    DELETE FROM archive_minute minutes USING stale
    WHERE minutes.agent_id = stale.agent_id AND minutes.stream = stale.stream AND minutes.epoch_id = stale.epoch_id
      AND minutes.minute = date_trunc('minute', stale.first_captured_at, 'UTC') AND minutes.envelopes <= 0;
    RETURN NULL;
END
$$;

CREATE TRIGGER archive_run_added AFTER INSERT ON archive_run
    REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION add_to_archive_minute();
CREATE TRIGGER archive_run_taken AFTER DELETE ON archive_run
    REFERENCING OLD TABLE AS stale FOR EACH STATEMENT EXECUTE FUNCTION take_from_archive_minute();

INSERT INTO archive_minute
SELECT agent_id, stream, date_trunc('minute', first_captured_at, 'UTC') AS minute, epoch_id,
       min(first_captured_at), max(last_captured_at), sum(last_sequence - first_sequence + 1), sum(byte_length)
FROM archive_run GROUP BY agent_id, stream, minute, epoch_id;
