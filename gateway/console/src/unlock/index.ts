/**
 * Unlocking in the browser (R6.7): a person's KEK opens end-to-end envelopes, and no key leaves the page.
 * Never makes a request: the page fetches ciphertext, this library opens it.
 */

export {
  dayOf, documentTokens, FIELDS, importTokenKey, parseRoot, queryTokens, Ratchet, wordsOf, type Field, type Root,
} from "./blindIndex";
export { fromHex, toHex, utf8, wipe, type Bytes } from "./bytes";
export { Canvas, checkFrame, type Area, type Frame, type ImageDecoder, type Tile } from "./canvas";
export { UnlockChannel, type About, type Released } from "./channel";
export { Chain, PartJoiner } from "./chain";
export { MAX_ENVELOPE_BYTES, readEnvelopes } from "./delivery";
export { nextLink, parseEpochHeader, peek, type EpochHeader, type Peek, type RecordHeader } from "./envelope";
export { KeyFileError, LockedError, MalformedError, OpenError, UnlockError, type KeyFileReason } from "./errors";
export { Identity } from "./identity";
export { importAgentKey, Opener, verifySignature, type Opened, type Unwrapper } from "./opening";
export { decodeRecord, decodeSegment, MAX_SEGMENT_BYTES } from "./segments";
export { UnlockSession } from "./session";
export { CONTENT_TYPES, STREAM_LABELS, type StreamLabel } from "./streams";
