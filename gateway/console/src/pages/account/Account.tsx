/** One's own account: password, codes at sign-in, sessions, API tokens. */

import { session } from "../../app/session";
import { PageHead } from "../../ui/parts";
import "./account.css";
import { Codes } from "./Codes";
import { Password } from "./Password";
import { ProofDialog } from "./proof";
import { Sessions } from "./Sessions";
import { Tokens } from "./Tokens";

export default function Account() {
  const account = session.value!.account;
  return (
    <>
      <PageHead title="Your account">
        <span class="quiet">
          {account.name}, {account.role}
        </span>
      </PageHead>
      <div class="stack">
        <div class="grid">
          <Password />
          <Codes />
        </div>
        <Sessions />
        <Tokens />
      </div>
      <ProofDialog />
    </>
  );
}
