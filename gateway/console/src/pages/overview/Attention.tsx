/** What wants attention, the worst first, with what to do and where. */

import { Link } from "../../app/router";
import { may } from "../../app/session";
import { PAGES } from "../table";
import type { Problem } from "./answers";

export function Attention(props: { problems: readonly Problem[]; measuring: boolean }) {
  if (!props.problems.length && props.measuring) {
    return (
      <p class="all-well quiet" role="status">
        <span class="dot" aria-hidden="true" /> Looking for what needs attention.
      </p>
    );
  }
  if (!props.problems.length) {
    return (
      <p class="all-well" role="status">
        <span class="dot good" aria-hidden="true" /> Nothing needs attention.
      </p>
    );
  }
  return (
    <section aria-labelledby="attention">
      <h2 id="attention">Needs attention</h2>
      <ul class="problems">
        {props.problems.map((problem) => (
          <li key={problem.title} class={`notice ${problem.tone}`}>
            <div>
              <strong>{problem.title}</strong>
              <p class="quiet">{problem.advice}</p>
            </div>
            <Where link={problem.link} about={problem.title} />
          </li>
        ))}
      </ul>
    </section>
  );
}

/** A link to the page where something can be done, for who may go there. */
function Where(props: { link: string; about: string }) {
  const page = PAGES.find((one) => one.path === props.link.split("?")[0]);
  if (!page || !may(page.permission)) return null;
  return (
    <Link class="button small" href={props.link} aria-label={`${page.title}: ${props.about}`}>
      {page.title}
    </Link>
  );
}
