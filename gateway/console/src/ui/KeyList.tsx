/** Keys of the keyboard and what they do, as a list. Never listens to any itself. */

export type Keys = readonly (readonly [keys: string, text: string])[];

export function KeyList(props: { keys: Keys; columns?: boolean }) {
  return (
    <dl class={props.columns ? "keyboard columns" : "keyboard"}>
      {props.keys.map(([keys, text]) => (
        <div key={keys}>
          <dt>
            {keys.split(" ").map((key) => (
              <kbd key={key}>{key}</kbd>
            ))}
          </dt>
          <dd>{text}</dd>
        </div>
      ))}
    </dl>
  );
}
