/**
 * Avro's binary form, read by a schema; as much of Avro as the segments' schemas use.
 * Never believes a length: what a value claims must be there before it is taken.
 */

import { type Bytes } from "./bytes";
import { MalformedError } from "./errors";

export type AvroSchema =
  | string
  | readonly AvroSchema[]
  | AvroRecordSchema
  | AvroEnumSchema
  | AvroArraySchema
  | AvroMapSchema;

interface AvroField {
  readonly name: string;
  readonly type: AvroSchema;
  readonly default?: unknown;
}

export interface AvroRecordSchema {
  readonly type: "record";
  readonly name: string;
  readonly fields: readonly AvroField[];
}

interface AvroEnumSchema {
  readonly type: "enum";
  readonly name: string;
  readonly symbols: readonly string[];
  readonly default?: string;
}

interface AvroArraySchema {
  readonly type: "array";
  readonly items: AvroSchema;
}

interface AvroMapSchema {
  readonly type: "map";
  readonly values: AvroSchema;
}

export type AvroValue = null | boolean | number | string | Bytes | AvroValue[] | AvroRecord;
export interface AvroRecord {
  [name: string]: AvroValue;
}

const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The schema in `source`, each reference to a named type replaced by the type; no type may hold itself. */
export function parseSchema(source: string): AvroSchema {
  return inline(JSON.parse(source) as AvroSchema, new Map());
}

function inline(schema: AvroSchema, named: Map<string, AvroSchema>): AvroSchema {
  if (typeof schema === "string") return named.get(schema.split(".").at(-1)!) ?? schema;
  if (isUnion(schema)) return schema.map((branch) => inline(branch, named));
  if (schema.type === "array") return { ...schema, items: inline(schema.items, named) };
  if (schema.type === "map") return { ...schema, values: inline(schema.values, named) };
  if (schema.type === "enum") {
    named.set(schema.name, schema);
    return schema;
  }
  const fields = schema.fields.map((field) => ({ ...field, type: inline(field.type, named) }));
  const record = { ...schema, fields };
  named.set(schema.name, record);
  return record;
}

/** The one value that `data` is, under the schema it was written with; throws `MalformedError`. */
export function decodeAvro(data: Bytes, schema: AvroSchema): AvroValue {
  const reader = new AvroReader(data);
  const value = reader.read(schema);
  if (!reader.atEnd) throw new MalformedError("bytes follow the record", "trailing_bytes");
  return value;
}

/** `value`, written under an earlier schema, as `newest` has it: fields that came later get their defaults. */
export function resolve(value: AvroValue, newest: AvroSchema): AvroValue {
  if (value === null || typeof newest === "string" || isUnion(newest)) return value;
  if (newest.type === "array" && Array.isArray(value)) return value.map((item) => resolve(item, newest.items));
  if (newest.type !== "record" || !isRecord(value)) return value;
  const fields = newest.fields.map((field) => [field.name, resolveField(value, field)] as const);
  return Object.fromEntries(fields);
}

function resolveField(record: AvroRecord, field: AvroField): AvroValue {
  if (Object.hasOwn(record, field.name)) return resolve(record[field.name]!, field.type);
  if (field.default === undefined) throw bad(`the field ${field.name} is missing and has no default`);
  if (field.type !== "bytes") return field.default as AvroValue;
  return Uint8Array.from(field.default as string, (character) => character.charCodeAt(0));
}

class AvroReader {
  readonly #data: Bytes;
  readonly #view: DataView;
  #at = 0;

  constructor(data: Bytes) {
    this.#data = data;
    this.#view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  }

  get atEnd(): boolean {
    return this.#at === this.#data.length;
  }

  read(schema: AvroSchema): AvroValue {
    if (typeof schema === "string") return this.#primitive(schema);
    if (isUnion(schema)) return this.read(pick(schema, this.#long()));
    if (schema.type === "record") return this.#record(schema);
    if (schema.type === "enum") return this.#symbol(schema);
    if (schema.type === "array") return this.#items(() => this.read(schema.items));
    return this.#map(schema.values);
  }

  #primitive(type: string): AvroValue {
    switch (type) {
      case "null":
        return null;
      case "boolean":
        return this.#take(1)[0] !== 0;
      case "int":
      case "long":
        return this.#long();
      case "bytes":
        return this.#take(this.#long());
      case "string":
        return this.#string();
      case "double": {
        const at = this.#at;
        this.#take(8);
        return this.#view.getFloat64(at, true);
      }
      default:
        throw bad(`the type ${type} is not known here`);
    }
  }

  #record(schema: AvroRecordSchema): AvroRecord {
    const record: AvroRecord = {};
    for (const field of schema.fields) record[field.name] = this.read(field.type);
    return record;
  }

  #symbol(schema: AvroEnumSchema): string {
    return pick(schema.symbols, this.#long());
  }

  #map(values: AvroSchema): AvroRecord {
    const entries = this.#items(() => [this.#string(), this.read(values)]) as unknown as [string, AvroValue][];
    return Object.fromEntries(entries);
  }

  #items(readItem: () => AvroValue): AvroValue[] {
    const items: AvroValue[] = [];
    for (let count = this.#long(); count !== 0; count = this.#long()) {
      if (count < 0) {
        this.#long();
        count = -count;
      }
      // Every item of our schemas takes a byte or more.
      if (count > this.#data.length - this.#at) throw bad("an array claims more items than there are bytes");
      for (let i = 0; i < count; i++) items.push(readItem());
    }
    return items;
  }

  #string(): string {
    try {
      return text.decode(this.#take(this.#long()));
    } catch (error) {
      throw error instanceof MalformedError ? error : bad("a string is not UTF-8");
    }
  }

  #take(size: number): Bytes {
    const end = this.#at + size;
    if (size < 0 || end > this.#data.length) throw bad("a value is cut");
    const taken = this.#data.subarray(this.#at, end);
    this.#at = end;
    return taken;
  }

  /** A zigzag number; those beyond 2^53, which no segment has, are refused. */
  #long(): number {
    let byte = this.#digit();
    const negative = byte & 1;
    let magnitude = (byte & 0x7f) >> 1;
    for (let scale = 64; byte >= 0x80; scale *= 128) {
      byte = this.#digit();
      magnitude += (byte & 0x7f) * scale;
      if (magnitude >= Number.MAX_SAFE_INTEGER || scale > 2 ** 62) throw bad("a number is too large");
    }
    return negative ? -magnitude - 1 : magnitude;
  }

  #digit(): number {
    const byte = this.#data[this.#at++];
    if (byte === undefined) throw bad("a number is cut");
    return byte;
  }
}

function pick<T>(choices: readonly T[], index: number): T {
  const chosen = choices[index];
  if (chosen === undefined) throw bad("a choice that the schema does not have");
  return chosen;
}

function isUnion(schema: AvroSchema): schema is readonly AvroSchema[] {
  return Array.isArray(schema);
}

function isRecord(value: AvroValue): value is AvroRecord {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array);
}

function bad(message: string): MalformedError {
  return new MalformedError(message, "bad_avro");
}
