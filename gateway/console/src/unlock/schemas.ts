/**
 * The schemas of the segments, from the product's own files, by the ids that stand in front of each record.
 * Never asks a server for one.
 */

import ids from "../../../../schemas/avro/ids.txt?raw";
import { parseSchema, type AvroRecordSchema } from "./avro";
import { MalformedError } from "./errors";

const sources = import.meta.glob<string>("../../../../schemas/avro/*_segment*.avsc", {
  eager: true,
  import: "default",
});

interface Schema {
  readonly id: number;
  readonly subject: string;
  readonly schema: AvroRecordSchema;
}

const known: readonly Schema[] = ids
  .split("\n")
  .filter((line) => line && !line.startsWith("#"))
  .flatMap((line) => {
    const [id, name] = line.split(" ") as [string, string];
    const source = sources[`../../../../schemas/avro/${name}.avsc`];
    if (!source) return [];
    return [{ id: Number(id), subject: name.split("-")[0]!, schema: parseSchema(source) as AvroRecordSchema }];
  });

/** The schema of that id, which must be one of `subject`, and the newest of the subject. Throws `MalformedError`. */
export function findSchema(id: number, subject: string): { written: AvroRecordSchema; newest: AvroRecordSchema } {
  const ofSubject = known.filter((one) => one.subject === subject);
  const written = ofSubject.find((one) => one.id === id);
  if (!written) throw new MalformedError(`schema id ${id} is not one of ${subject}`, "unknown_schema");
  return { written: written.schema, newest: ofSubject.at(-1)!.schema };
}
