/** Key files: every form that is read, and every refusal with the command that helps. */

import { material } from "#material";
import { describe, expect, it } from "vitest";
import { concat, fromHex, toHex, utf8 } from "../src/unlock/bytes";
import { DerReader } from "../src/unlock/der";
import { KeyFileError, MalformedError } from "../src/unlock/errors";
import { Identity } from "../src/unlock/identity";
import { findPrivateKey } from "../src/unlock/pem";
import { failureOf } from "./material";

const readable = material.keys.filter((one) => one.keyId);
const refused = material.keys.filter((one) => one.reason);
const named = (name: string) => material.keys.find((one) => one.name === name)!;

/** What `attempt` gave, and every key that WebCrypto imported meanwhile. */
async function watchImports<T>(attempt: () => Promise<T>): Promise<{ imported: CryptoKey[]; outcome: T }> {
  const imported: CryptoKey[] = [];
  const importKey = crypto.subtle.importKey.bind(crypto.subtle) as (...given: unknown[]) => Promise<CryptoKey>;
  crypto.subtle.importKey = async (...given: unknown[]) => {
    const key = await importKey(...given);
    imported.push(key);
    return key;
  };
  try {
    return { outcome: await attempt(), imported };
  } finally {
    delete (crypto.subtle as { importKey?: unknown }).importKey;
  }
}

describe("key files that are read", () => {
  for (const { name, pem, passphrase, keyId, warnings } of readable) {
    it(name, async () => {
      const secret = utf8(passphrase);
      const identity = await Identity.fromPem(pem, secret);
      expect(toHex(identity.keyId)).toBe(keyId);
      expect(identity.bits).toBe(2048);
      if (!name.endsWith("converted")) expect(identity.warnings).toEqual(warnings);
      expect(secret.every((byte) => byte === 0), "the passphrase is wiped").toBe(true);
    });
  }

  it("takes seconds at most for 600,000 rounds, however busy the machine", async () => {
    const { pem, passphrase } = named("PBKDF2 SHA-256, AES-256, 600,000 rounds");
    const began = performance.now();
    await Identity.fromPem(pem, utf8(passphrase));
    expect(performance.now() - began).toBeLessThan(20_000);
  });
});

describe("key files that are refused", () => {
  for (const { name, pem, passphrase, reason, command } of refused) {
    it(name, async () => {
      const secret = utf8(passphrase);
      const { imported, outcome: error } = await watchImports(() => failureOf(Identity.fromPem(pem, secret)));
      expect(error).toBeInstanceOf(KeyFileError);
      expect((error as KeyFileError).reason).toBe(reason);
      expect((error as KeyFileError).command).toBe(command);
      if (command) expect((error as KeyFileError).message).toContain(command);
      expect(secret.every((byte) => byte === 0), "the passphrase is wiped").toBe(true);
      if (reason === "work_factor") expect(imported, "nothing was derived").toEqual([]);
    });
  }

  it("never takes a wrong passphrase for a damaged file, even where it passes the padding", async () => {
    const { pem } = named("one round");
    let passedPadding = 0;
    const decrypt = crypto.subtle.decrypt.bind(crypto.subtle);
    crypto.subtle.decrypt = (...given) => decrypt(...given).then((plain) => (passedPadding++, plain));
    try {
      for (let guess = 0; guess < 1500; guess++) {
        const error = await failureOf(Identity.fromPem(pem, utf8(`guess ${guess}`)));
        expect((error as KeyFileError).reason).toBe("wrong_passphrase");
      }
    } finally {
      delete (crypto.subtle as { decrypt?: unknown }).decrypt;
    }
    expect(passedPadding).toBeGreaterThan(0);
  });

  it("tells a damaged key from a wrong passphrase where nothing was decrypted", async () => {
    const lines = named("PKCS#8 without a passphrase").pem.split("\n");
    const pem = [lines[0], ...lines.slice(3)].join("\n");
    const error = await failureOf(Identity.fromPem(pem, utf8("")));
    expect((error as KeyFileError).reason).toBe("not_a_key");
  });

  it("refuses junk in place of a key with its own error alone", async () => {
    const { pem, passphrase } = named("one round");
    const { body } = findPrivateKey(pem);
    for (let round = 0; round < 500; round++) {
      const bad = body.slice();
      bad[(round * 31) % 120] = (round * 7919) % 256;
      const text = `-----BEGIN ENCRYPTED PRIVATE KEY-----\n${btoa(String.fromCharCode(...bad))}\n-----END ENCRYPTED PRIVATE KEY-----\n`;
      await Identity.fromPem(text, utf8(passphrase)).catch((error: unknown) => {
        expect(error).toBeInstanceOf(KeyFileError);
      });
    }
  });
});

describe("an identity", () => {
  it("has no key that a script can read out", async () => {
    const { pem, passphrase } = named("one round");
    const { imported } = await watchImports(() => Identity.fromPem(pem, utf8(passphrase)));
    expect(imported.map((key) => key.type)).toContain("private");
    expect(imported.every((key) => !key.extractable)).toBe(true);
    const key = imported.find((one) => one.type === "private")!;
    await expect(crypto.subtle.exportKey("pkcs8", key)).rejects.toThrow();
  });
});

describe("the DER reader", () => {
  const refuses = (hex: string) => {
    const reader = () => {
      const reader = new DerReader(fromHex(hex));
      reader.number();
      reader.end();
    };
    expect(reader, hex).toThrow(MalformedError);
  };

  it("reads positive integers", () => {
    for (const [hex, number] of [["020100", 0], ["02017f", 127], ["02020080", 128], ["0206010000000000", 2 ** 40]] as const) {
      expect(new DerReader(fromHex(hex)).number()).toBe(number);
    }
  });

  it("refuses lengths and integers that are not minimal, negative or cut", () => {
    for (const hex of ["", "02", "0200", "02810101", "0282000101", "028001", "0201", "020180", "02020001"]) refuses(hex);
    for (const hex of ["0485ffffffffff", "020701000000000000", "02010000", "0301ff", "0284000000010"+"1"]) refuses(hex);
  });

  it("reads a value that is longer than 127 bytes", () => {
    const content = new Uint8Array(300).fill(7);
    expect(new DerReader(concat([4, 0x82, 1, 44], content)).octets()).toEqual(content);
  });
});
