/** What the rule as typed would have matched in the last week. Never shows an older answer as one to newer conditions. */

import { useEffect, useState } from "preact/hooks";
import { ApiError, postJson } from "../../api/client";
import { Link } from "../../app/router";
import { may } from "../../app/session";
import { formatDay, formatNumber, formatTime } from "../../ui/format";
import { Loading, Notice, Time, Trouble } from "../../ui/parts";
import { playerLink } from "../reports/scope";
import { UNITS, ZONE, concernsAny, isEmpty, sent, type Concern, type Conditions, type Preview, type Sample } from "./answers";
import { Fragment } from "./Fragment";

const PAUSE_MS = 450;

interface Shown {
  answer?: Preview;
  error?: unknown;
  fresh: boolean;
}

/** Whether there is nothing to look for, or nobody to look at. */
const isIdle = (conditions: Conditions, concern: Concern) => isEmpty(conditions) || !concernsAny(concern);

/** The answer to the conditions once they have stood still for a moment. */
function usePreview(conditions: Conditions, concern: Concern): Shown {
  const [shown, setShown] = useState<Shown>({ fresh: false });
  const key = JSON.stringify([sent(conditions), concern.all_teams, concern.teams]);
  useEffect(() => {
    if (isIdle(conditions, concern)) {
      setShown({ fresh: true });
      return undefined;
    }
    setShown((before) => ({ ...before, fresh: false }));
    const aborter = new AbortController();
    const timer = setTimeout(async () => {
      try {
        const wish = { conditions: sent(conditions), teams: concern.teams, time_zone: ZONE };
        const answer = await postJson<Preview>("/rules/preview", wish, aborter.signal);
        if (!aborter.signal.aborted) setShown({ answer, fresh: true });
      } catch (error) {
        if (!aborter.signal.aborted) setShown({ error, fresh: true });
      }
    }, PAUSE_MS);
    return () => {
      clearTimeout(timer);
      aborter.abort();
    };
  }, [key]);
  return shown;
}

export function PreviewPane({ conditions, concern }: { conditions: Conditions; concern: Concern }) {
  const { answer, error, fresh } = usePreview(conditions, concern);
  return (
    <section class="card rule-preview" aria-labelledby="preview" aria-busy={!fresh}>
      <h2 id="preview">What it would have matched in the last week</h2>
      {error ? (
        <Fault error={error} />
      ) : answer ? (
        <div class={fresh ? "" : "stale"}>
          <Found answer={answer} conditions={conditions} />
        </div>
      ) : isIdle(conditions, concern) ? (
        <p class="quiet">{isEmpty(conditions) ? "Set a condition, and its matches appear here as you type." : "Choose whom it concerns."}</p>
      ) : (
        <Loading what="Looking" />
      )}
    </section>
  );
}

function Fault({ error }: { error: unknown }) {
  if (error instanceof ApiError && error.status === 422) {
    return <Notice tone="warn">{error.message.replaceAll(/body\.conditions\.?|Value error, /g, "").replace(/^[:\s]+/, "")}</Notice>;
  }
  return <Trouble error={error} />;
}

function Found(props: { answer: Preview; conditions: Conditions }) {
  const { answer } = props;
  return (
    <div class="stack">
      <p role="status" class="rule-count">
        <strong>{formatNumber(answer.count)}</strong> {answer.count === 1 ? "alert" : "alerts"}
        {answer.count > 0 && `, ${formatNumber(answer.people)} ${answer.people === 1 ? "person" : "people"}`}
      </p>
      {answer.cut && (
        <Notice tone="warn">
          There was more than could be looked at in a few seconds: this is since {formatTime(answer.since_ms)}. Narrow the rule to look further back.
        </Notice>
      )}
      <Histogram days={answer.days} />
      {answer.samples.length > 0 && (
        <>
          <h3>{answer.count > answer.samples.length ? `The newest ${answer.samples.length}` : "All of them"}</h3>
          <ol class="rule-samples">
            {answer.samples.map((sample) => (
              <li key={`${sample.document_id}${sample.person}${sample.time_ms}`}>
                <SampleText sample={sample} conditions={props.conditions} />
              </li>
            ))}
          </ol>
        </>
      )}
    </div>
  );
}

function Histogram({ days }: { days: Preview["days"] }) {
  const most = Math.max(1, ...days.map((one) => one.count));
  return (
    <ol class="rule-days" aria-label="Alerts by day">
      {days.map((one) => (
        <li key={one.day} title={`${one.day}: ${one.count}`}>
          <span class="count">{one.count}</span>
          <span class="pillar" aria-hidden="true">
            <span style={{ height: `${(100 * one.count) / most}%` }} />
          </span>
          <span class="day">{formatDay(new Date(`${one.day}T12:00`).getTime()).replace(/,? ?\d{4}$/, "")}</span>
        </li>
      ))}
    </ol>
  );
}

function SampleText(props: { sample: Sample; conditions: Conditions }) {
  const { sample } = props;
  const { volume } = props.conditions;
  return (
    <>
      <div class="row middle spread">
        <span>
          <strong>{sample.person || "unknown"}</strong> <span class="quiet">{sample.application || sample.stream}</span>
        </span>
        <span class="row middle">
          <Time ms={sample.time_ms} />
          {may("recordings") && sample.person && (
            <Link href={playerLink(sample.person, sample.time_ms)} aria-label={`Watch ${sample.person}, ${formatTime(sample.time_ms)}`}>
              Watch
            </Link>
          )}
        </span>
      </div>
      {sample.until_ms > 0 && volume ? (
        <p>
          {formatNumber(sample.amount)} {UNITS[volume.measure]} by then
        </p>
      ) : (
        <p class="rule-fragment">
          <Fragment pieces={sample.fragment} />
        </p>
      )}
    </>
  );
}
