-- How far the PostgreSQL sink's records are in this database, kept in the transaction that stores them: a database that
-- went back (a standby that was promoted, a backup that was restored) is filled again from there.
CREATE TABLE sink_place (
    topic text NOT NULL,
    partition integer NOT NULL,
    next_offset bigint NOT NULL,
    PRIMARY KEY (topic, partition)
);
