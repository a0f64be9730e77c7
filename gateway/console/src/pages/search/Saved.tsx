/** Searches that were kept: to go to, to keep the present one, to rename, share and delete. Never keeps results. */

import { useRef, useState } from "preact/hooks";
import { deleteJson, getJson, postJson, putJson } from "../../api/client";
import { Link } from "../../app/router";
import { Badge, Button, Dialog, Empty, Field, Loading, toast, Trouble } from "../../ui/parts";
import { useLoad } from "../../ui/useLoad";

/** The page's own parameters, as the address has them. */
type Kept = Record<string, readonly string[]>;

interface SavedSearch {
  readonly id: string;
  readonly name: string;
  readonly query: Kept;
  readonly shared: boolean;
  readonly own: boolean;
  readonly owner: string;
}

const PATH = "/search/saved";

export function SavedSearches(props: { close: () => void }) {
  const { data, error, again } = useLoad((signal) => getJson<{ saved: SavedSearch[] }>(PATH, {}, signal), []);
  const [editing, setEditing] = useState<SavedSearch | undefined>(undefined);
  const remove = async (one: SavedSearch) => {
    try {
      await deleteJson(`${PATH}/${one.id}`);
      toast(`Deleted “${one.name}”.`);
      again();
    } catch (fault) {
      toast(fault instanceof Error ? fault.message : "It was not deleted.", "bad");
    }
  };
  if (editing) return <SaveSearch saved={editing} query={editing.query} close={() => (setEditing(undefined), again())} />;
  return (
    <Dialog title="Saved searches" close={props.close}>
      {error !== undefined && <Trouble error={error} again={again} />}
      {!data && !error && <Loading />}
      {data?.saved.length === 0 && <Empty title="None yet">Search for something, then choose “Save”.</Empty>}
      <ul class="saved">
        {data?.saved.map((one) => (
          <li key={one.id}>
            <span class="grow" onClick={props.close}>
              <Link href={`/search?${addressOf(one.query)}`}>{one.name}</Link>
            </span>
            {one.shared && <Badge title={one.own ? "Everybody who may search sees it" : `Shared by ${one.owner}`}>{one.own ? "shared" : one.owner}</Badge>}
            {one.own && (
              <>
                <Button small kind="plain" aria-label={`Change ${one.name}`} onClick={() => setEditing(one)}>
                  Change
                </Button>
                <Button small kind="plain" aria-label={`Delete ${one.name}`} onClick={() => void remove(one)}>
                  Delete
                </Button>
              </>
            )}
          </li>
        ))}
      </ul>
    </Dialog>
  );
}

/** Keep a search under a name; `saved` is changed where there is one. */
export function SaveSearch(props: { saved?: SavedSearch; query: Kept; suggestion?: string; close: () => void }) {
  const name = useRef<HTMLInputElement>(null);
  const shared = useRef<HTMLInputElement>(null);
  const [fault, setFault] = useState("");
  const [error, setError] = useState<unknown>(undefined);
  const submit = async (event: Event) => {
    event.preventDefault();
    const wish = { name: name.current!.value.trim(), query: props.query, shared: shared.current!.checked };
    if (!wish.name) return setFault("Give it a name.");
    try {
      if (props.saved) await putJson(`${PATH}/${props.saved.id}`, wish);
      else await postJson(PATH, wish);
      toast(`Saved “${wish.name}”.`);
      props.close();
    } catch (problem) {
      setError(problem);
    }
  };
  return (
    <Dialog title={props.saved ? "Change a saved search" : "Save this search"} close={props.close}>
      <form class="stack" onSubmit={(event) => void submit(event)}>
        <Field label="Name" fault={fault || undefined}>
          {(ids) => <input {...ids} ref={name} type="text" maxLength={80} value={props.saved?.name ?? props.suggestion ?? ""} />}
        </Field>
        <label>
          <input ref={shared} type="checkbox" checked={props.saved?.shared ?? false} />
          Share it with everybody who may search
        </label>
        {error !== undefined && <Trouble error={error} />}
        <div class="actions">
          <Button onClick={props.close}>Cancel</Button>
          <Button kind="primary" type="submit">
            Save
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

/** An address's query as it is kept. */
export function keptOf(query: URLSearchParams): Kept {
  return Object.fromEntries([...new Set(query.keys())].map((name) => [name, query.getAll(name)]));
}

/** The way back; what is not text was not kept by this page, and is left out. */
export function addressOf(kept: Kept): string {
  const query = new URLSearchParams();
  for (const [name, values] of Object.entries(kept)) {
    for (const value of Array.isArray(values) ? values : [values]) if (typeof value === "string") query.append(name, value);
  }
  return query.toString();
}
