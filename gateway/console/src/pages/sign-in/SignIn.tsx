/**
 * Signing in: name and password, a code where the account asks for one, the organisation's provider; and links that set
 * a password. Never keeps a password longer than its request.
 */

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { postJson, signedOut } from "../../api/client";
import { path, query } from "../../app/router";
import { beginSession, session } from "../../app/session";
import { useLoad } from "../../ui/useLoad";
import { getJson } from "../../api/client";
import { Notice } from "../../ui/parts";
import { ChangeForm } from "./ChangeForm";
import { CodeForm } from "./CodeForm";
import { LinkForm } from "./LinkForm";
import { PasswordForm } from "./PasswordForm";

interface Provider {
  enabled: boolean;
  title: string;
}

/** What a refused sign-in at the provider is told as; the address has one of these words. */
const REFUSED: Record<string, string> = {
  no_account: "You have no account here yet. Ask an administrator.",
  no_role: "Your organisation's provider gives you no role here. Ask an administrator.",
  expired: "That took too long, or was begun in another window. Sign in again.",
  wrong_state: "That answer belongs to another sign-in. Sign in again.",
  provider_refused: "Your organisation's provider did not let you in.",
  unavailable: "Your organisation's provider does not answer. Try again in a moment.",
};

export default function SignIn() {
  useEffect(() => {
    document.title = "Sign in · sealstream";
  }, []);
  return (
    <main class="center">
      <View />
    </main>
  );
}

function View() {
  if (path.value === "/first" || path.value === "/set-password") return <LinkForm />;
  if (session.value?.must_change_password) return <ChangeForm />;
  return <Steps />;
}

/** First the password, then the code if one is wanted. */
function Steps() {
  const challenge = useSignal("");
  const provider = useLoad((signal) => getJson<Provider>("/oidc", {}, signal), []);
  const refused = query.value.get("refused");
  const signIn = async (name: string, password: string) => {
    const answer = await postJson<{ challenge?: string }>("/session", { name, password });
    if (answer.challenge) challenge.value = answer.challenge;
    else await beginSession();
  };
  const answer = async (code: string) => {
    await postJson("/session/totp", { challenge: challenge.value, code });
    await beginSession();
  };
  if (challenge.value) return <CodeForm submit={answer} back={() => (challenge.value = "")} />;
  return (
    <div class="card stack">
      <h1>Sign in</h1>
      {refused && (
        <Notice tone="bad" role="alert">
          {REFUSED[refused] ?? "Your organisation's provider told something that cannot be believed. Sign in again."}
        </Notice>
      )}
      {signedOut.value && !refused && (
        <Notice role="status">Your session has ended. Sign in, and this page goes on where you were.</Notice>
      )}
      <PasswordForm submit={signIn} />
      {provider.data?.enabled && (
        <a class="button" href="/api/v1/oidc/begin">
          Sign in with {provider.data.title}
        </a>
      )}
    </div>
  );
}
