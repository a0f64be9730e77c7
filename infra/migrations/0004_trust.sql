-- Which addresses the ports between nodes serve (R5.1). One row for each address or network; every node follows it live.
CREATE TABLE approved_node (
    network cidr PRIMARY KEY,
    note text NOT NULL DEFAULT '',
    approved_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE approved_node IS 'beside node.approved of the settings and the file `approved` in each data directory';
