/** A form that is sent once at a time: whether it is under way, and what went wrong. Never swallows an error. */

import { useState } from "preact/hooks";

export interface Submitting {
  busy: boolean;
  error: unknown;
  submit: (event: Event) => void;
}

/** `act` is what the form does; it throws what went wrong. */
export function useSubmit(act: () => Promise<void>): Submitting {
  const [state, setState] = useState<{ busy: boolean; error: unknown }>({ busy: false, error: undefined });
  const submit = (event: Event) => {
    event.preventDefault();
    if (state.busy) return;
    setState({ busy: true, error: undefined });
    act().then(
      () => setState({ busy: false, error: undefined }),
      (error: unknown) => setState({ busy: false, error }),
    );
  };
  return { ...state, submit };
}
