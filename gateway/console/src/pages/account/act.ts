/** Doing something from a button: what went wrong is told, what was cancelled is not. Never leaves an error unsaid. */

import { toast } from "../../ui/parts";
import { Cancelled, withProof } from "./proof";

/** Do `act` with a fresh proof, then `done`; whether it was done. */
export async function perform(act: () => Promise<unknown>, done: string, after: () => void = () => {}): Promise<boolean> {
  try {
    await withProof(act);
  } catch (error) {
    if (!(error instanceof Cancelled)) toast(error instanceof Error ? error.message : String(error), "bad");
    return false;
  }
  if (done) toast(done);
  after();
  return true;
}
