-- Unlocks in the browser that are under way: whose each is, and until when. The audit is the record; this is what further requests are held to.
CREATE TABLE browser_unlock (
    unlock_id uuid PRIMARY KEY,
    account_id uuid NOT NULL,
    actor text NOT NULL,
    purpose text NOT NULL CHECK (purpose <> ''),
    began_at timestamptz NOT NULL DEFAULT now(),
    ends_at timestamptz NOT NULL CHECK (ends_at > began_at),
    ended_at timestamptz
);
CREATE INDEX browser_unlock_ends ON browser_unlock (ends_at);
COMMENT ON TABLE browser_unlock IS 'has a row once the audit says that an unlock began; it goes a day after the end';
COMMENT ON COLUMN browser_unlock.account_id IS 'who began it, and alone may go on with it';
COMMENT ON COLUMN browser_unlock.ended_at IS 'empty: the page did not tell that it is over, and nobody wrote yet that its time was';
