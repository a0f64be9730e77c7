/**
 * Live: who can be watched or heard now, and the screens of those who are chosen, as they happen.
 * Never goes on when the page is left: everything is stopped then.
 */

import "./live.css";
import { untracked, useSignal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import { request } from "../../api/client";
import { may } from "../../app/session";
import { query, setQuery } from "../../app/router";
import { sentence } from "../../live/connection";
import { Badge, Button, Empty, Field, Loading, Notice, PageHead, Trouble } from "../../ui/parts";
import { useAtOnce } from "../../ui/useAtOnce";
import { useLoad } from "../../ui/useLoad";
import { unlockSession } from "../../unlocking/current";
import { PurposeDialog } from "./PurposeDialog";
import { Tile } from "./Tile";
import { livePurpose, Watching, type LiveAgent, type LiveAgents } from "./watching";

const LOOK_MS = 5000;
const MOST_SHOWN = 120;
/** So many screens are begun by one click at most. */
const MOST_TILES = 24;

export default function Live() {
  const turn = useSignal(0);
  const { data, error, again } = useLoad(loadAgents, [turn.value]);
  const chosen = useSignal<readonly Watching[]>([]);
  const asking = useSignal<{ agents: readonly LiveAgent[]; listen: boolean } | undefined>(undefined);
  const changing = useSignal(false);

  useEffect(() => {
    const looking = setInterval(() => !document.hidden && (turn.value += 1), LOOK_MS);
    return () => {
      clearInterval(looking);
      for (const one of chosen.peek()) one.stop();
    };
  }, []);

  const begin = (agents: readonly LiveAgent[], listen: boolean) => {
    if (livePurpose.peek()) for (const agent of agents) beginOne(agent, listen);
    else asking.value = { agents, listen };
  };
  const beginOne = (agent: LiveAgent, listen: boolean) => {
    let one = chosen.peek().find((watching) => watching.agent.agent === agent.agent);
    if (!one) {
      one = new Watching(agent);
      chosen.value = [...chosen.peek(), one];
      if (agent.screen) void one.watch();
    }
    if (listen) one.listen();
  };
  const stop = (one: Watching) => {
    one.stop();
    chosen.value = chosen.peek().filter((other) => other !== one);
  };

  useAtOnce(() => {
    void unlockSession.value;
    untracked(() => {
      for (const one of chosen.peek()) if (one.agent.end_to_end) void one.watch();
    });
  });
  useEffect(() => {
    const wanted = query.peek().get("agent");
    const agent = data?.agents.find((one) => one.agent === wanted);
    if (!agent) return;
    setQuery({ agent: undefined });
    begin([agent], false);
  }, [data]);

  return (
    <>
      <PageHead title="Live">
        {livePurpose.value && (
          <Button small kind="plain" title="Change why you watch" onClick={() => (changing.value = true)}>
            Purpose: <span class="live-purpose">{livePurpose.value}</span>
          </Button>
        )}
        {chosen.value.length > 0 && (
          <Button small onClick={() => chosen.peek().forEach(stop)}>
            Stop all
          </Button>
        )}
      </PageHead>
      {chosen.value.length > 0 && (
        <section class={`live-tiles ${sizeOf(chosen.value.length)}`} aria-label="Screens that you watch">
          {chosen.value.map((one) => (
            <Tile key={one.agent.agent} watching={one} stop={() => stop(one)} />
          ))}
        </section>
      )}
      {error !== undefined && <Trouble error={error} again={again} />}
      {data ? (
        <Agents told={data} chosen={chosen.value} begin={begin} />
      ) : (
        error === undefined && <Loading what="Asking who is there" />
      )}
      {asking.value && (
        <PurposeDialog
          close={() => (asking.value = undefined)}
          done={() => {
            const { agents, listen } = asking.peek()!;
            asking.value = undefined;
            begin(agents, listen);
          }}
        />
      )}
      {changing.value && <PurposeDialog close={() => (changing.value = false)} done={() => (changing.value = false)} />}
    </>
  );
}

/** How small tiles may be, so that a few are large and many are seen at once. */
const sizeOf = (tiles: number) => (tiles > 6 ? "many" : tiles > 2 ? "some" : "");

async function loadAgents(signal: AbortSignal): Promise<LiveAgents> {
  const response = await request("/live", { signal, headers: { "X-Sealstream-Background": "1" } });
  return (await response.json()) as LiveAgents;
}

function Agents(props: {
  told: LiveAgents;
  chosen: readonly Watching[];
  begin: (agents: readonly LiveAgent[], listen: boolean) => void;
}) {
  const filter = useSignal("");
  const { agents, screen_refusal: refusal } = props.told;
  const found = useMemo(() => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    return agents.filter(({ user, computer }) => words.every((word) => `${user} ${computer}`.toLowerCase().includes(word)));
  }, [agents, filter.value]);
  const others = found.filter((agent) => agent.screen && !props.chosen.some((one) => one.agent.agent === agent.agent));
  if (!agents.length) {
    return (
      <Empty title="Nobody is connected now">
        <p>Agents of the people that you may see appear here by themselves when they connect.</p>
      </Empty>
    );
  }
  return (
    <section class="stack" aria-labelledby="live-there">
      <div class="row spread">
        <h2 id="live-there">
          There now <span class="quiet">({found.length === agents.length ? agents.length : `${found.length} of ${agents.length}`})</span>
        </h2>
        <Field label="Person or computer" class="live-filter">
          {(ids) => (
            <input {...ids} type="search" value={filter.value} onInput={(event) => (filter.value = event.currentTarget.value)} />
          )}
        </Field>
        {others.length > 1 && others.length + props.chosen.length <= MOST_TILES && (
          <Button onClick={() => props.begin(others, false)}>
            Watch {others.length === found.length ? "all" : "the other"} {others.length}
          </Button>
        )}
      </div>
      {refusal && <Notice tone="warn">{sentence(refusal)}</Notice>}
      <p class="quiet">People are shown, on their own screen, when somebody watches or listens; it is in the audit too.</p>
      {found.length ? (
        <ul class="live-agents">
          {found.slice(0, MOST_SHOWN).map((agent) => (
            <Agent key={agent.agent} agent={agent} watching={props.chosen.find((one) => one.agent.agent === agent.agent)} begin={props.begin} />
          ))}
        </ul>
      ) : (
        <Empty title="Nobody of that name is there" />
      )}
      {found.length > MOST_SHOWN && <p class="quiet">And {found.length - MOST_SHOWN} more: write a part of a name to find them.</p>}
    </section>
  );
}

function Agent(props: {
  agent: LiveAgent;
  watching: Watching | undefined;
  begin: (agents: readonly LiveAgent[], listen: boolean) => void;
}) {
  const { agent, watching } = props;
  const name = `${agent.user} on ${agent.computer}`;
  return (
    <li class="card live-agent">
      <div class="who">
        <strong>{agent.user}</strong>
        <span class="quiet">{agent.computer}</span>
      </div>
      <div class="row middle">
        {agent.end_to_end && (
          <Badge tone="sealed" title="Sealed to officers' keys: unlock to watch">
            end to end
          </Badge>
        )}
        {agent.viewers > 0 && <Badge tone="good">{agent.viewers === 1 ? "1 person watches" : `${agent.viewers} people watch`}</Badge>}
      </div>
      <div class="row">
        <Button
          kind={watching ? undefined : "primary"}
          small
          disabled={!agent.screen || Boolean(watching)}
          aria-label={`${watching ? "Watching" : "Watch"} ${name}`}
          onClick={() => props.begin([agent], false)}
        >
          {watching ? "Watching" : "Watch"}
        </Button>
        {may("listen") && (
          <Button
            small
            disabled={!agent.audio || Boolean(watching?.sound.value)}
            title={agent.audio ? "" : "No sound is recorded there, or the policy does not allow it to be heard live"}
            aria-label={`Listen to ${name}`}
            onClick={() => props.begin([agent], true)}
          >
            Listen
          </Button>
        )}
      </div>
    </li>
  );
}
