-- Whom a rule concerns: everybody, or the people of teams. Those made before concern everybody, as they did.
ALTER TABLE alert_rule
    ADD COLUMN all_teams boolean NOT NULL DEFAULT true,
    ADD COLUMN owner_id uuid REFERENCES account ON DELETE SET NULL,
    DROP CONSTRAINT alert_rule_name_key;
COMMENT ON COLUMN alert_rule.all_teams IS 'of the whole installation; else of the teams in alert_rule_team';
COMMENT ON COLUMN alert_rule.owner_id IS 'who saved it last, where it is of teams: it concerns those that this account sees';
COMMENT ON COLUMN alert_rule.name IS 'unique among the rules that one account sees, not beyond: names tell nothing of others'' rules';

CREATE TABLE alert_rule_team (
    rule_id uuid NOT NULL REFERENCES alert_rule ON DELETE CASCADE,
    team text NOT NULL REFERENCES team ON DELETE CASCADE ON UPDATE CASCADE,
    PRIMARY KEY (rule_id, team)
);
CREATE INDEX alert_rule_team_team ON alert_rule_team (team);
