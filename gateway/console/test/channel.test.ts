/** The sealed channel of an unlock on the server: the example that every implementation must agree with. */

import { material } from "#material";
import { describe, expect, it } from "vitest";
import { concat, fromHex, toHex } from "../src/unlock/bytes";
import { UnlockChannel } from "../src/unlock/channel";
import { MalformedError, OpenError } from "../src/unlock/errors";
import { failureOf } from "./material";

const vector = material.unlockChannel;
const opener = fromHex(vector.opener_public);
const session = fromHex(vector.session);

function base64url(hex: string): string {
  return btoa(String.fromCharCode(...fromHex(hex))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

async function viewerKeys(): Promise<CryptoKeyPair> {
  const [x, y] = [vector.viewer_public.slice(2, 66), vector.viewer_public.slice(66)].map(base64url);
  const algorithm = { name: "ECDH", namedCurve: "P-256" };
  const publicJwk = { kty: "EC", crv: "P-256", x: x!, y: y! };
  const privateJwk = { ...publicJwk, d: base64url(vector.viewer_private) };
  return {
    publicKey: await crypto.subtle.importKey("jwk", publicJwk, algorithm, true, []),
    privateKey: await crypto.subtle.importKey("jwk", privateJwk, algorithm, false, ["deriveBits"]),
  };
}

const answered = async () => UnlockChannel.answer(opener, session, await viewerKeys());

describe("unlock channel", () => {
  it("seals the passphrase as Python does, and wipes it", async () => {
    const channel = await answered();
    expect(toHex(channel.publicKey)).toBe(vector.viewer_public);
    const passphrase = fromHex(vector.passphrase);
    expect(toHex(await channel.seal(passphrase))).toBe(vector.sealed_passphrase);
    expect(passphrase.every((byte) => byte === 0)).toBe(true);
  });

  it("opens what the opener releases, to the summary at its end", async () => {
    const channel = await answered();
    const released: string[] = [];
    for (const { plaintext, sealed } of vector.messages) {
      const one = await channel.take(fromHex(sealed));
      if (!one) continue;
      released.push(toHex(one.plaintext));
      expect(plaintext.endsWith(toHex(one.plaintext))).toBe(true);
      expect(one.about["stream"]).toBe("email");
    }
    expect(released.length).toBeGreaterThan(0);
    expect(channel.summary).toBeDefined();
    const last = fromHex(vector.messages.at(-1)!.sealed);
    expect(await failureOf(channel.take(last))).toBeInstanceOf(MalformedError);
  });

  it("refuses messages that were lost, repeated, swapped or changed", async () => {
    const [first, second] = vector.messages.map(({ sealed }) => fromHex(sealed));
    expect(await failureOf((await answered()).take(second!))).toBeInstanceOf(OpenError);
    const channel = await answered();
    await channel.take(first!);
    expect(await failureOf(channel.take(first!))).toBeInstanceOf(OpenError);
    const changed = concat(second!.slice(0, -1), [second!.at(-1)! ^ 1]);
    expect(await failureOf(channel.take(changed))).toBeInstanceOf(OpenError);
    await channel.take(second!);
  });

  it("refuses what is no public key, and another's session", async () => {
    for (const bad of [opener.slice(1), new Uint8Array(65), concat([2], opener.slice(1))]) {
      expect(await failureOf(UnlockChannel.answer(bad, session))).toBeInstanceOf(MalformedError);
    }
    expect(await failureOf(UnlockChannel.answer(opener, session.slice(1)))).toBeInstanceOf(MalformedError);
    const other = await UnlockChannel.answer(opener, session);
    expect(await failureOf(other.take(fromHex(vector.messages[0]!.sealed)))).toBeInstanceOf(OpenError);
  });
});
