-- Reports and alerts: sums that are kept as spans come, hours of work, views for any BI tool, rules and what they found.

-- When exactly a person was active: of each span, of each hour. Unions and sums of what is added, so the order is nothing.
ALTER TABLE activity_span ADD COLUMN active tstzmultirange NOT NULL DEFAULT '{}';
COMMENT ON COLUMN activity_span.active IS 'when the application was in front and the person active; empty in older spans';

CREATE TABLE activity_total (
    user_name text NOT NULL,
    hour timestamptz NOT NULL,
    application text NOT NULL,
    active_ms bigint NOT NULL,
    idle_ms bigint NOT NULL,
    switches bigint NOT NULL,
    PRIMARY KEY (user_name, hour, application)
);
CREATE INDEX activity_total_hour ON activity_total USING brin (hour);
COMMENT ON TABLE activity_total IS 'sums of activity_span, kept by its triggers';

CREATE TABLE active_hour (
    user_name text NOT NULL,
    hour timestamptz NOT NULL,
    active tstzmultirange NOT NULL,
    PRIMARY KEY (user_name, hour)
);
COMMENT ON TABLE active_hour IS 'when a person was active within an hour (UTC), at whatever; kept by the triggers of activity_span';

CREATE FUNCTION add_activity() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO activity_total AS known
    SELECT user_name, hour, application, sum(active_ms), sum(idle_ms), sum(switches)
    FROM added GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
    ON CONFLICT (user_name, hour, application) DO UPDATE SET
        active_ms = known.active_ms + EXCLUDED.active_ms,
        idle_ms = known.idle_ms + EXCLUDED.idle_ms,
        switches = known.switches + EXCLUDED.switches;
    INSERT INTO active_hour AS known
    SELECT user_name, hour, range_agg(active) FROM added WHERE NOT isempty(active) GROUP BY 1, 2 ORDER BY 1, 2
    ON CONFLICT (user_name, hour) DO UPDATE SET active = known.active + EXCLUDED.active;
    RETURN NULL;
END
$$;

CREATE FUNCTION remove_activity() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    CREATE TEMPORARY TABLE touched ON COMMIT DROP AS SELECT DISTINCT user_name, hour FROM removed;
    DELETE FROM activity_total USING touched
    WHERE (activity_total.user_name, activity_total.hour) = (touched.user_name, touched.hour);
    DELETE FROM active_hour USING touched
    WHERE (active_hour.user_name, active_hour.hour) = (touched.user_name, touched.hour);
    INSERT INTO activity_total
    SELECT user_name, hour, application, sum(active_ms), sum(idle_ms), sum(switches)
    FROM activity_span JOIN touched USING (user_name, hour) GROUP BY 1, 2, 3;
    INSERT INTO active_hour
    SELECT user_name, hour, range_agg(active)
    FROM activity_span JOIN touched USING (user_name, hour) WHERE NOT isempty(active) GROUP BY 1, 2;
    DROP TABLE touched;
    RETURN NULL;
END
$$;

CREATE FUNCTION empty_activity() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    TRUNCATE activity_total, active_hour;
    RETURN NULL;
END
$$;

INSERT INTO activity_total
SELECT user_name, hour, application, sum(active_ms), sum(idle_ms), sum(switches) FROM activity_span GROUP BY 1, 2, 3;

CREATE TRIGGER activity_added AFTER INSERT ON activity_span
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION add_activity();
CREATE TRIGGER activity_removed AFTER DELETE ON activity_span
    REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION remove_activity();
CREATE TRIGGER activity_emptied AFTER TRUNCATE ON activity_span
    FOR EACH STATEMENT EXECUTE FUNCTION empty_activity();

-- Hours of work. '' is everybody who is in no team that has a week of its own.
CREATE TABLE working_week (
    team text PRIMARY KEY,
    time_zone text NOT NULL
);
CREATE TABLE working_hours (
    team text NOT NULL REFERENCES working_week ON DELETE CASCADE ON UPDATE CASCADE,
    weekday integer NOT NULL CHECK (weekday BETWEEN 1 AND 7),
    from_time time NOT NULL,
    until_time time NOT NULL CHECK (until_time < '24:00'),
    PRIMARY KEY (team, weekday, from_time)
);
COMMENT ON COLUMN working_hours.weekday IS '1 is Monday, 7 is Sunday';
COMMENT ON COLUMN working_hours.until_time IS 'one that is not after from_time is of the next day; midnight is 00:00';
INSERT INTO working_week VALUES ('', 'UTC');
INSERT INTO working_hours SELECT '', day, '09:00', '17:30' FROM generate_series(1, 5) AS day;

CREATE FUNCTION check_time_zone() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM now() AT TIME ZONE NEW.time_zone;
    RETURN NEW;
END
$$;
CREATE TRIGGER working_week_checked BEFORE INSERT OR UPDATE ON working_week
    FOR EACH ROW EXECUTE FUNCTION check_time_zone();

CREATE SCHEMA bi;
COMMENT ON SCHEMA bi IS 'what BI tools read; docs/reports.md';

CREATE VIEW bi.team_member AS SELECT team, user_name FROM public.team_member;

-- The week that is a person's: of the first of their teams that has one.
CREATE VIEW bi.own_week AS
SELECT DISTINCT ON (user_name) user_name, team, time_zone
FROM public.team_member JOIN public.working_week USING (team) ORDER BY user_name, team;

CREATE VIEW bi.activity_hour AS
SELECT a.user_name, a.hour, local.time::date AS day, extract(hour FROM local.time)::integer AS hour_of_day,
       extract(isodow FROM local.time)::integer AS weekday, z.time_zone, a.application,
       a.active_ms, a.idle_ms, a.switches
FROM public.activity_total a
LEFT JOIN bi.own_week w USING (user_name)
CROSS JOIN (SELECT time_zone FROM public.working_week WHERE team = '') d
CROSS JOIN LATERAL (SELECT coalesce(w.time_zone, d.time_zone) AS time_zone) z
CROSS JOIN LATERAL (SELECT a.hour AT TIME ZONE z.time_zone AS time) local;

CREATE VIEW bi.application_day AS
SELECT user_name, day, application, sum(active_ms)::bigint AS active_ms, sum(idle_ms)::bigint AS idle_ms,
       sum(switches)::bigint AS switches
FROM bi.activity_hour GROUP BY user_name, day, application;

CREATE VIEW bi.person_day AS
SELECT user_name, day, sum(active_ms)::bigint AS active_ms, sum(idle_ms)::bigint AS idle_ms,
       sum(switches)::bigint AS switches, count(*) FILTER (WHERE active_ms > 0) AS applications,
       (array_agg(application ORDER BY active_ms DESC, application))[1] AS top_application,
       round(max(active_ms) / nullif(sum(active_ms), 0), 4) AS top_share,
       round(sum(switches) * 3600000 / nullif(sum(active_ms), 0), 2) AS switches_per_hour
FROM bi.application_day GROUP BY user_name, day;

CREATE VIEW bi.team_day AS
SELECT m.team, a.day, count(DISTINCT a.user_name) AS people, sum(a.active_ms)::bigint AS active_ms,
       sum(a.idle_ms)::bigint AS idle_ms, sum(a.switches)::bigint AS switches
FROM public.team_member m JOIN bi.activity_hour a USING (user_name) GROUP BY m.team, a.day;

CREATE VIEW bi.team_application_day AS
SELECT m.team, a.day, a.application, count(DISTINCT a.user_name) AS people, sum(a.active_ms)::bigint AS active_ms,
       sum(a.idle_ms)::bigint AS idle_ms, sum(a.switches)::bigint AS switches
FROM public.team_member m JOIN bi.activity_hour a USING (user_name) GROUP BY m.team, a.day, a.application;

-- When a person was active on a day of theirs.
CREATE VIEW bi.presence_day AS
SELECT user_name, day, time_zone, week, lower(active) AS first_at, upper(active) AS last_at, active
FROM (
    SELECT a.user_name, (a.hour AT TIME ZONE z.time_zone)::date AS day, z.time_zone, z.week, range_agg(a.active) AS active
    FROM public.active_hour a
    LEFT JOIN bi.own_week w USING (user_name)
    CROSS JOIN (SELECT time_zone FROM public.working_week WHERE team = '') d
    CROSS JOIN LATERAL (SELECT coalesce(w.time_zone, d.time_zone) AS time_zone, coalesce(w.team, '') AS week) z
    GROUP BY 1, 2, 3, 4
) days;

-- The longest stretch without an idle minute, and how much stretches of over 25 minutes add up to.
CREATE VIEW bi.focus_day AS
SELECT p.user_name, p.day, count(*) AS stretches,
       round(1000 * max(f.seconds))::bigint AS longest_ms,
       round(1000 * coalesce(sum(f.seconds) FILTER (WHERE f.seconds >= 1500), 0))::bigint AS deep_ms
FROM bi.presence_day p
CROSS JOIN LATERAL (
    SELECT extract(epoch FROM upper(joined) - lower(joined)) - 60 AS seconds
    FROM unnest((
        SELECT range_agg(tstzrange(lower(run), upper(run) + interval '60 s')) FROM unnest(p.active) AS run
    )) AS joined
) f
GROUP BY p.user_name, p.day;

-- When a team works on a date; what begins the day before may reach into it.
CREATE FUNCTION bi.work_on(week text, time_zone text, day date) RETURNS tstzmultirange
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT coalesce(range_agg(tstzrange(
        (on_day + from_time) AT TIME ZONE time_zone,
        (on_day + until_time + CASE WHEN until_time <= from_time THEN interval '1 day' ELSE interval '0' END)
            AT TIME ZONE time_zone
    )), '{}')
    FROM unnest(ARRAY[day - 1, day]) AS on_day
    JOIN working_hours h ON h.team = week AND h.weekday = extract(isodow FROM on_day)
$$;

CREATE VIEW bi.overtime_day AS
SELECT p.user_name, p.day, p.week, round(1000 * total.seconds)::bigint AS active_ms,
       round(1000 * over.seconds)::bigint AS overtime_ms
FROM bi.presence_day p
CROSS JOIN LATERAL (SELECT bi.work_on(p.week, p.time_zone, p.day) AS work) c
CROSS JOIN LATERAL (
    SELECT coalesce(sum(extract(epoch FROM upper(run) - lower(run))), 0) AS seconds FROM unnest(p.active) AS run
) total
CROSS JOIN LATERAL (
    SELECT coalesce(sum(extract(epoch FROM upper(run) - lower(run))), 0) AS seconds FROM unnest(p.active - c.work) AS run
) over;

-- The role of BI servers. Roles are of the whole cluster: another database of it may have made this one already.
DO $$
BEGIN
    CREATE ROLE sealstream_bi NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation OR insufficient_privilege THEN
    NULL;  -- `sealstream bi account` says what is missing
END
$$;
DO $$
BEGIN
    GRANT USAGE ON SCHEMA bi TO sealstream_bi;
    GRANT SELECT ON ALL TABLES IN SCHEMA bi TO sealstream_bi;
EXCEPTION WHEN undefined_object THEN
    NULL;
END
$$;

-- Rules, and alerts that are known by what they say rather than by their place in the log.
CREATE TABLE alert_rule (
    rule_id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name text NOT NULL UNIQUE CHECK (name <> ''),
    enabled boolean NOT NULL DEFAULT true,
    kind text NOT NULL CHECK (kind IN ('match', 'documents', 'active_minutes', 'mebibytes')),
    severity text NOT NULL CHECK (severity IN ('low', 'medium', 'high')),
    conditions jsonb NOT NULL,
    version integer NOT NULL DEFAULT 1,
    changed_by text NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now()
);

ALTER TABLE alert
    ADD COLUMN alert_id text,
    ADD COLUMN rule_name text NOT NULL DEFAULT '',
    ADD COLUMN rule_version integer NOT NULL DEFAULT 0,
    ADD COLUMN severity text NOT NULL DEFAULT '',
    ADD COLUMN kind text NOT NULL DEFAULT '',
    ADD COLUMN person text NOT NULL DEFAULT '',
    ADD COLUMN computer text NOT NULL DEFAULT '',
    ADD COLUMN stream text NOT NULL DEFAULT '',
    ADD COLUMN application text NOT NULL DEFAULT '',
    ADD COLUMN until_at timestamptz,
    ADD COLUMN state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'seen', 'closed')),
    ADD COLUMN note text NOT NULL DEFAULT '',
    ADD COLUMN state_by text NOT NULL DEFAULT '',
    ADD COLUMN state_at timestamptz;
UPDATE alert SET alert_id = topic_id || '-' || kafka_partition || '-' || kafka_offset;
ALTER TABLE alert DROP CONSTRAINT alert_pkey;
ALTER TABLE alert ADD PRIMARY KEY (alert_id);
CREATE INDEX alert_time ON alert (raised_at DESC, alert_id);
CREATE INDEX alert_person ON alert (person, raised_at DESC);
COMMENT ON COLUMN alert.until_at IS 'end of the window of which it tells; empty when one document matched';
