-- Attempts to unlock, which a restart must not forget; and the audit as a chain, made by the database itself whoever writes.

CREATE TABLE unlock_attempt (
    attempt_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    person text NOT NULL,
    kek text NOT NULL,
    attempted_at timestamptz NOT NULL DEFAULT now(),
    outcome text NOT NULL DEFAULT 'pending'
);
CREATE INDEX unlock_attempt_kek ON unlock_attempt (kek, attempted_at);
COMMENT ON COLUMN unlock_attempt.outcome IS 'pending counts as failed: who ends the process does not get another try';

CREATE TABLE audit_chain (
    number bigint PRIMARY KEY,
    entry text NOT NULL,
    hash bytea NOT NULL
);
COMMENT ON TABLE audit_chain IS 'audit_entry as canonical JSON; hash = SHA-256(hash of the number before, entry), 32 zero bytes before the first';

CREATE FUNCTION append_to_audit_chain() RETURNS trigger LANGUAGE plpgsql SET timezone = 'UTC' AS $$
DECLARE
    last record;
    entry text := to_jsonb(NEW)::text;
BEGIN
    PERFORM pg_advisory_xact_lock(1588854785);
    SELECT number, hash INTO last FROM audit_chain ORDER BY number DESC LIMIT 1;
    INSERT INTO audit_chain VALUES (
        coalesce(last.number, 0) + 1,
        entry,
        sha256(coalesce(last.hash, decode(repeat('00', 32), 'hex')) || convert_to(entry, 'UTF8'))
    );
    RETURN NULL;
END
$$;

INSERT INTO audit_chain
WITH RECURSIVE numbered AS (
    SELECT row_number() OVER (ORDER BY happened_at, kafka_partition, kafka_offset) AS number, to_jsonb(e)::text AS entry
    FROM audit_entry e
), chained AS (
    SELECT number, entry, sha256(decode(repeat('00', 32), 'hex') || convert_to(entry, 'UTF8')) AS hash
    FROM numbered WHERE number = 1
    UNION ALL
    SELECT n.number, n.entry, sha256(c.hash || convert_to(n.entry, 'UTF8'))
    FROM chained c JOIN numbered n ON n.number = c.number + 1
)
SELECT number, entry, hash FROM chained;

CREATE TRIGGER audit_entry_chained AFTER INSERT ON audit_entry FOR EACH ROW EXECUTE FUNCTION append_to_audit_chain();

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit is only ever added to' USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER audit_chain_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_chain
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER audit_entry_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_entry
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
