/** Where somebody is signed in and which tokens they have, for an administrator who must end them. */

import { deleteJson, getJson } from "../../api/client";
import { Button, Time } from "../../ui/parts";
import { useLoad } from "../../ui/useLoad";
import { perform } from "../account/act";
import { browserName } from "../account/browserName";
import type { SessionRow } from "../account/Sessions";
import { List, type TokenRow } from "../account/Tokens";
import type { AccountRow } from "./model";

export function TheirSessions({ account }: { account: AccountRow }) {
  const at = `/accounts/${account.id}`;
  const sessions = useLoad((signal) => getJson<{ sessions: SessionRow[] }>(`${at}/sessions`, {}, signal), [account.id]);
  const tokens = useLoad((signal) => getJson<{ tokens: TokenRow[] }>(`${at}/tokens`, {}, signal), [account.id]);
  const end = () => perform(() => deleteJson(`${at}/sessions`), `${account.name} is signed out everywhere.`, sessions.again);
  const revoke = (row: TokenRow) => perform(() => deleteJson(`${at}/tokens/${row.id}`), `The token ${row.name} is no more.`, tokens.again);
  const rows = sessions.data?.sessions ?? [];
  return (
    <>
      <h3>Signed in</h3>
      {rows.length ? (
        <>
          <ul class="plain">
            {rows.map((row) => (
              <li key={row.id}>
                {browserName(row.browser)}, {row.address}, <Time ms={row.seen_at_ms} age />
              </li>
            ))}
          </ul>
          <div>
            <Button small onClick={() => void end()}>
              Sign out everywhere
            </Button>
          </div>
        </>
      ) : (
        <p class="quiet">Nowhere.</p>
      )}
      {!!tokens.data?.tokens.length && <List rows={tokens.data.tokens} revoke={revoke} />}
    </>
  );
}
