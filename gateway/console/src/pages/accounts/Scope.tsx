/** Whom an account may see: everybody, the people of teams, or themselves. */

import { useId } from "preact/hooks";
import { Field } from "../../ui/parts";
import type { Wish } from "./AccountDialog";
import type { Teams } from "./model";

export function Scope(props: { wish: Wish; set: (changes: Partial<Wish>) => void; teams: Teams }) {
  const { wish, set } = props;
  const people = useId();
  const subject = wish.role === "subject";
  const choose = (team: string, yes: boolean) =>
    set({ teams: yes ? [...wish.teams, team].sort() : wish.teams.filter((one) => one !== team) });
  return (
    <>
      <Field
        label={subject ? "Recorded as" : "Recorded themselves as"}
        hint={subject ? "The user name on their computer." : "The user name on their computer, if they are recorded."}
      >
        {(ids) => (
          <input
            {...ids}
            type="text"
            list={people}
            required={subject}
            maxLength={256}
            value={wish.person}
            onInput={(event) => set({ person: event.currentTarget.value })}
          />
        )}
      </Field>
      <datalist id={people}>
        {props.teams.people.map((person) => (
          <option key={person} value={person} />
        ))}
      </datalist>
      {!subject && (
        <fieldset class="choices">
          <legend>May see</legend>
          <label>
            <input type="checkbox" checked={wish.all_teams} onChange={(event) => set({ all_teams: event.currentTarget.checked })} />
            Everybody
          </label>
          {!wish.all_teams &&
            props.teams.teams.map((team) => (
              <label key={team.name}>
                <input
                  type="checkbox"
                  checked={wish.teams.includes(team.name)}
                  onChange={(event) => choose(team.name, event.currentTarget.checked)}
                />
                {team.name} <span class="quiet">({team.members.length})</span>
              </label>
            ))}
        </fieldset>
      )}
    </>
  );
}
