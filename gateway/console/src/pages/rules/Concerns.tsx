/** Whom a rule concerns: everybody, or the people of teams. Never offers a team whose people one does not see. */

import { getJson } from "../../api/client";
import { session } from "../../app/session";
import { Loading, Notice, Trouble } from "../../ui/parts";
import { useLoad } from "../../ui/useLoad";
import type { Concern, Draft, Rule } from "./answers";

interface Team {
  name: string;
  people: number;
}

export function Concerns(props: { draft: Draft; rule: Rule | undefined; change: (change: Partial<Concern>) => void }) {
  const { draft, rule, change } = props;
  const teams = useLoad((signal) => getJson<Team[]>("/rules/teams", {}, signal), []);
  const everybody = Boolean(session.value?.all_teams);
  const choose = (team: string, yes: boolean) => change({ teams: yes ? [...draft.teams, team].sort() : draft.teams.filter((one) => one !== team) });
  return (
    <section class="card stack" aria-labelledby="concerns">
      <h2 id="concerns">Whom it concerns</h2>
      {rule && concernsNobody(rule) && (
        <Notice tone="warn">It concerns nobody now: who saved it last does not see these teams any more. Save it, and it goes by what you see.</Notice>
      )}
      {everybody && (
        <fieldset class="rule-choices">
          <legend>It looks at</legend>
          <label>
            <input type="radio" name="concerns" checked={draft.all_teams} onChange={() => change({ all_teams: true })} />
            Everybody
          </label>
          <label>
            <input type="radio" name="concerns" checked={!draft.all_teams} onChange={() => change({ all_teams: false })} />
            Only some teams
          </label>
        </fieldset>
      )}
      {!draft.all_teams &&
        (teams.error ? (
          <Trouble error={teams.error} again={teams.again} />
        ) : !teams.data ? (
          <Loading />
        ) : (
          <fieldset class="rule-choices">
            <legend>Of these teams</legend>
            {teams.data.map((team) => (
              <label key={team.name}>
                <input type="checkbox" checked={draft.teams.includes(team.name)} onChange={(event) => choose(team.name, event.currentTarget.checked)} />
                <span>
                  {team.name} <span class="quiet">({team.people})</span>
                </span>
              </label>
            ))}
            {!teams.data.length && <p class="quiet">{everybody ? "There is no team yet." : "You see no team: an administrator gives you some."}</p>}
          </fieldset>
        ))}
      <p class="quiet">
        {everybody
          ? "Of a rule of teams, whatever else it asks for, officers of all those teams see it too, and may change it."
          : "You see the people of your teams alone: a rule of yours looks at nobody else, whatever it asks for."}
      </p>
    </section>
  );
}

const concernsNobody = (rule: Rule) => !rule.all_teams && !rule.concerns.length;

/** Whom a rule concerns, in a line. */
export function ConcernsLine({ rule }: { rule: Rule }) {
  if (rule.all_teams) return <>concerns everybody</>;
  if (concernsNobody(rule)) return <strong>concerns nobody now: who saved it last does not see its teams any more</strong>;
  return (
    <>
      concerns the {rule.concerns.length === 1 ? "team" : "teams"} {rule.concerns.join(", ")}
    </>
  );
}
