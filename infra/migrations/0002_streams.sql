-- Records that have no identity but their place in a log are known by the log too: a topic that was made anew begins at
-- offset 0 again, and what it holds is new. Zeros stand for the log of before this.
ALTER TABLE audit_entry ADD COLUMN topic_id uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000';
ALTER TABLE audit_entry DROP CONSTRAINT audit_entry_pkey;
ALTER TABLE audit_entry ADD PRIMARY KEY (topic_id, kafka_partition, kafka_offset);

ALTER TABLE alert ADD COLUMN topic_id uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000';
ALTER TABLE alert DROP CONSTRAINT alert_pkey;
ALTER TABLE alert ADD PRIMARY KEY (topic_id, kafka_partition, kafka_offset);

ALTER TABLE folded_offset ADD COLUMN topic_id uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000';
ALTER TABLE folded_offset DROP CONSTRAINT folded_offset_pkey;
ALTER TABLE folded_offset ADD PRIMARY KEY (topic, topic_id, kafka_partition);

-- A hole is known by the envelope that tells of it, however often a worker told it.
ALTER TABLE gap ADD COLUMN gap_id text;
UPDATE gap SET gap_id = kafka_partition || '-' || kafka_offset;
ALTER TABLE gap DROP CONSTRAINT gap_pkey;
ALTER TABLE gap ADD PRIMARY KEY (agent_id, gap_id);
ALTER TABLE gap DROP COLUMN kafka_partition, DROP COLUMN kafka_offset;
