-- Public files that every node of an installation has alike: the policy, public KEKs, the CAs and the pins of our servers.
CREATE TABLE site_file (
    name text PRIMARY KEY,
    version bigint NOT NULL CHECK (version > 0),
    content bytea CHECK (octet_length(content) <= 1048576),
    sha256 text NOT NULL,
    signatures bytea[] NOT NULL,
    changed_by text NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE site_file IS 'published by masters, followed by every node; never a private key';
COMMENT ON COLUMN site_file.content IS 'NULL: the file was taken away';
COMMENT ON COLUMN site_file.signatures IS 'by the CAs that are trusted, over name, version and content: a node writes nothing else';
