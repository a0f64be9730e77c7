/** The console begins here: who is signed in decides what is shown. */

import "./ui/theme.css";
import "./ui/controls.css";
import "./ui/choices.css";
import "./ui/shell.css";
import "./app/theme";
import { effect } from "@preact/signals";
import { render } from "preact";
import { signedOut } from "./api/client";
import { Lazy } from "./app/Lazy";
import { path } from "./app/router";
import { loadSession, session, sessionProblem } from "./app/session";
import { Shell } from "./app/Shell";
import { Loading, Trouble } from "./ui/parts";

/** Paths that the page of signing in has for itself, signed in or not. */
const WITHOUT_SESSION = new Set(["/first", "/set-password"]);
const signIn = () => import("./pages/sign-in/SignIn");

function App() {
  if (WITHOUT_SESSION.has(path.value)) return <Lazy load={signIn} />;
  if (sessionProblem.value && !session.value) {
    return (
      <main class="center">
        <div class="card stack">
          <h1>No answer</h1>
          <Trouble error={sessionProblem.value} again={() => void loadSession()} />
        </div>
      </main>
    );
  }
  if (session.value === undefined) return <Loading what="Asking the server" />;
  if (session.value === null || session.value.must_change_password) return <Lazy load={signIn} />;
  return <Shell />;
}

effect(() => {
  if (signedOut.value && session.peek()) session.value = null;
});
effect(() => {
  if (!sessionProblem.value || session.peek()) return;
  const timer = setTimeout(loadSession, 5000);
  return () => clearTimeout(timer);
});
void loadSession();
render(<App />, document.getElementById("app")!);
