/** Who signs in, with which role, and whom they may see; and the teams of recorded people. */

import { useSignal } from "@preact/signals";
import { getJson } from "../../api/client";
import { query, setQuery } from "../../app/router";
import { Badge, Button, Empty, Loading, PageHead, Table, Tabs, Trouble } from "../../ui/parts";
import { useLoad } from "../../ui/useLoad";
import "../account/account.css";
import { ProofDialog } from "../account/proof";
import { AccountDialog } from "./AccountDialog";
import { LinkDialog } from "./LinkDialog";
import { scopeWords, type AccountRow, type Teams } from "./model";
import { TeamList } from "./TeamList";

export default function Accounts() {
  const tab = query.value.get("tab") === "teams" ? "teams" : "accounts";
  const accounts = useLoad((signal) => getJson<{ accounts: AccountRow[] }>("/accounts", {}, signal), []);
  const teams = useLoad((signal) => getJson<Teams>("/teams", {}, signal), []);
  const editing = useSignal<AccountRow | "new" | undefined>(undefined);
  const link = useSignal<{ name: string; link: string } | undefined>(undefined);
  const again = () => {
    accounts.again();
    teams.again();
  };
  return (
    <>
      <PageHead title="Accounts">
        {tab === "accounts" && (
          <Button kind="primary" onClick={() => (editing.value = "new")}>
            New account
          </Button>
        )}
      </PageHead>
      <Tabs
        label="Accounts and teams"
        names={[
          ["accounts", "Accounts"],
          ["teams", "Teams"],
        ]}
        chosen={tab}
        choose={(name) => setQuery({ tab: name === "teams" ? "teams" : undefined })}
      />
      <div class="stack tab-body">
        {(accounts.error ?? teams.error) !== undefined && <Trouble error={accounts.error ?? teams.error} again={again} />}
        {!accounts.data || !teams.data ? (
          <Loading />
        ) : tab === "teams" ? (
          <TeamList teams={teams.data} changed={again} />
        ) : (
          <AccountTable rows={accounts.data.accounts} edit={(row) => (editing.value = row)} />
        )}
      </div>
      {editing.value && teams.data && (
        <AccountDialog
          account={editing.value}
          teams={teams.data}
          close={() => (editing.value = undefined)}
          changed={again}
          linked={(made) => {
            editing.value = undefined;
            link.value = made;
          }}
        />
      )}
      {link.value && <LinkDialog {...link.value} close={() => (link.value = undefined)} />}
      <ProofDialog />
    </>
  );
}

function AccountTable(props: { rows: readonly AccountRow[]; edit: (row: AccountRow) => void }) {
  if (!props.rows.length) return <Empty title="There is no account yet" />;
  return (
    <div class="card flush">
      <Table
        label="Accounts"
        rows={props.rows}
        id={(row) => row.id}
        columns={[
          {
            title: "Name",
            show: (row) => (
              <span>
                <strong>{row.name}</strong>
                {row.display_name && <span class="quiet"> {row.display_name}</span>}
              </span>
            ),
          },
          { title: "Role", show: (row) => row.role },
          { title: "May see", show: (row) => scopeWords(row) },
          { title: "Signs in by", show: (row) => <Ways row={row} /> },
          {
            title: "Action",
            show: (row) => (
              <Button small aria-label={`Change ${row.name}`} onClick={() => props.edit(row)}>
                Change
              </Button>
            ),
          },
        ]}
      />
    </div>
  );
}

function Ways({ row }: { row: AccountRow }) {
  if (row.disabled) return <Badge tone="bad">disabled</Badge>;
  if (!row.password && !row.oidc) return <Badge tone="warn">no password yet</Badge>;
  const ways = [row.password && "password", row.oidc && "organisation", row.totp && "codes"].filter(Boolean);
  return <span>{ways.join(", ")}</span>;
}
