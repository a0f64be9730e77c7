/** The link by which somebody sets their password: shown once. */

import { Button, Dialog } from "../../ui/parts";
import { Secret } from "../account/Tokens";

export function LinkDialog(props: { name: string; link: string; close: () => void }) {
  return (
    <Dialog title={`Link for ${props.name}`} close={props.close}>
      <p>Give it to {props.name} by a way that only they see. It works once, sets their password, and is shown this once.</p>
      <Secret text={props.link} label="Link" />
      <div class="actions">
        <Button kind="primary" onClick={props.close}>
          Done
        </Button>
      </div>
    </Dialog>
  );
}
