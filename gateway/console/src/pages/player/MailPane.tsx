/** The mails seen until the clock's moment, the newest first, as plain text. */

import { formatBytes, formatClock } from "../../ui/format";
import { Trouble } from "../../ui/parts";
import type { Mail } from "../../player/notes";
import type { Replay } from "./replay";
import { SealedNotice } from "./SealedNotice";

const MOST = 50;

export function MailPane({ replay }: { replay: Replay }) {
  const at = replay.coarse.value + 250;
  void replay.version.value;
  const window = replay.text.at(replay.coarse.value);
  if (window?.state === "failed") return <Trouble error={window.error} again={() => replay.retry()} />;
  const mails = (window?.value.mails ?? []).filter((mail) => mail.time_us / 1000 <= at).reverse().slice(0, MOST);
  const sealed = window?.value.sealed.get("email");
  return (
    <div class="mails">
      {sealed ? <SealedNotice what="The mails of this time" /> : undefined}
      {!mails.length && !sealed && (
        <p class="no-picture quiet">{window?.state === "ready" ? "No mail in the ten minutes before." : "Loading mails"}</p>
      )}
      {mails.map((mail, number) => (
        <OneMail key={`${mail.time_us}-${mail.message_id || number}`} mail={mail} open={number === 0} replay={replay} />
      ))}
    </div>
  );
}

function OneMail({ mail, open, replay }: { mail: Mail; open: boolean; replay: Replay }) {
  const seen = mail.time_us / 1000;
  return (
    <details class="mail card" open={open}>
      <summary>
        <strong>{mail.subject || "No subject"}</strong>
        <span class="quiet">
          {mail.sender} · {formatClock(seen)}
        </span>
      </summary>
      <p class="quiet">
        To {mail.recipients.join(", ") || "nobody"} · in {mail.folder} ·{" "}
        <button type="button" class="link" onClick={() => replay.seek(seen)}>
          go to {formatClock(seen)}
        </button>
      </p>
      <div class="mail-text">{mail.text || "No text"}</div>
      {mail.attachments.length > 0 && (
        <ul aria-label="Attachments">
          {mail.attachments.map((file, number) => (
            <li key={number}>
              {file.name || "without a name"} <span class="quiet">({file.content_type}, {formatBytes(file.size)})</span>
            </li>
          ))}
        </ul>
      )}
    </details>
  );
}
