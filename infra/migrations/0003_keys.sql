-- What a registered KEK is for and how far its life is; who end-to-end streams are sealed to; what officers signed.
-- The datasheet's insert (R6.5) goes on working as it stands: everything new has a default.

ALTER TABLE encryption_kek
    ADD COLUMN purpose text NOT NULL DEFAULT 'end_to_end' CHECK (purpose IN ('server', 'end_to_end')),
    ADD COLUMN state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'opening', 'retired', 'revoked')),
    ADD COLUMN successor text REFERENCES encryption_kek (pub_datafile) DEFERRABLE INITIALLY DEFERRED,
    ADD COLUMN changed_at timestamptz NOT NULL DEFAULT now();
COMMENT ON COLUMN encryption_kek.pub_datafile IS 'file in the folder of keys (keys.dir), which every node has';
COMMENT ON COLUMN encryption_kek.priv_datafile IS 'likewise, or the PKCS#11 URI of a key in a token';
COMMENT ON COLUMN encryption_kek.purpose IS 'server: what the miners read is sealed to it; end_to_end: for officers alone';
COMMENT ON COLUMN encryption_kek.state IS 'active: sealed to; opening: only opens; retired, revoked: does not open either';
COMMENT ON COLUMN encryption_kek.successor IS 'the KEK that a rotation puts in its place';

-- The KEK that every installation makes for itself.
INSERT INTO encryption_kek (pub_datafile, priv_datafile, priv_encrypted, purpose)
VALUES ('server.pub.pem', 'server.pem', true, 'server')
ON CONFLICT (pub_datafile) DO UPDATE SET purpose = 'server';

CREATE TABLE kek_assignment (
    pub_datafile text NOT NULL REFERENCES encryption_kek ON DELETE CASCADE,
    scope text NOT NULL CHECK (scope IN ('default', 'group', 'endpoint', 'agent')),
    subject text NOT NULL DEFAULT '',
    stream text NOT NULL,
    break_glass boolean NOT NULL DEFAULT false,
    always boolean NOT NULL DEFAULT false,
    blind_index boolean NOT NULL DEFAULT true,
    assigned_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (scope, subject, stream, pub_datafile)
);
COMMENT ON TABLE kek_assignment IS 'which KEKs an end-to-end stream is sealed to; in force once an officer signed it';
COMMENT ON COLUMN kek_assignment.always IS 'sealed end to end whatever the policy of the server says';

CREATE TABLE endpoint_group (
    name text NOT NULL,
    member text NOT NULL,
    PRIMARY KEY (name, member)
);
COMMENT ON COLUMN endpoint_group.member IS 'an agent id, or the name of a computer';

CREATE TABLE key_set (
    version bigint NOT NULL,
    ordinal integer NOT NULL,
    signed jsonb NOT NULL,
    made_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (version, ordinal)
);
COMMENT ON TABLE key_set IS 'key sets as an officer signed them; the newest version is in force';
