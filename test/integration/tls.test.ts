// TLS at the gateway itself: what it speaks, and how its certificate is replaced while clients are connected.
import { once } from "node:events";
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, type ConnectionOptions, type TLSSocket } from "node:tls";
import { readConfig } from "@bimip/gateway";
import { createHealth, createMetrics } from "@bimip/runtime";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { listenUws } from "../../services/gateway/src/adapters/uws.js";
import type { Transport } from "../../services/gateway/src/ports.js";
import { makeCertificate, type TestCertificate } from "../kit/certificates.js";
import { Device } from "../kit/device.js";
import { type DoorSystem, startDoor } from "../kit/door.js";
import { eventually } from "../kit/eventually.js";
import { openSocket } from "../kit/raw-http.js";
import { SECRET } from "../kit/system.js";

const DAY_S = 86_400;
const authority = makeCertificate({ name: "authority of the tests", isAuthority: true });
const make = (days = 30, isRsa = false): TestCertificate => {
  const own = makeCertificate({ name: "localhost", issuer: authority, days, isRsa });
  return { cert: own.cert + authority.cert, key: own.key };
};

let directory = "";
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "bimip-tls-"));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

/** As renewal tools do it: what is half written is never seen. */
async function replace(path: string, text: string): Promise<void> {
  await writeFile(`${path}.new`, text);
  await rename(`${path}.new`, path);
}

async function startTls(name: string, pair: TestCertificate, env: Record<string, string> = {}) {
  const [certFile, keyFile] = [join(directory, `${name}.crt`), join(directory, `${name}.key`)];
  await writeFile(certFile, pair.cert);
  await writeFile(keyFile, pair.key);
  const door = await startDoor({ BIMIP_TLS_CERT_FILE: certFile, BIMIP_TLS_KEY_FILE: keyFile, ...env });
  return { door, certFile, keyFile, port: door.port, url: `wss://localhost:${door.port}/v1/ws` };
}

/** A handshake; rejects with what went wrong. */
async function shake(port: number, options: ConnectionOptions = {}): Promise<TLSSocket> {
  const socket = connect({ port, host: "127.0.0.1", servername: "localhost", ca: authority.cert, ...options });
  await once(socket, "secureConnect");
  return socket;
}

/** The serial number of the certificate that a new client is shown. */
async function serialOf(port: number, options: ConnectionOptions = {}): Promise<string> {
  const socket = await shake(port, options);
  const { serialNumber } = socket.getPeerCertificate();
  socket.destroy();
  return serialNumber;
}

const open = async ({ door, url }: { door: DoorSystem; url: string }, eid: string): Promise<Device> =>
  Device.open(url, { token: await door.system.token(eid, "phone"), ca: authority.cert });

describe("wss", () => {
  let tls: Awaited<ReturnType<typeof startTls>>;
  beforeAll(async () => {
    tls = await startTls("plain", make(30, true), { BIMIP_ADMIN_PORT: "9" });
  });
  afterAll(() => tls.door.system.stop());

  test("a session works, and the chain is sent", async () => {
    const [alice, bob] = [await open(tls, "alice"), await open(tls, "bob")];
    await alice.messageSent({ id: "1", to: { eid: "bob" } });
    await bob.until("message", ({ id }) => id === "1");
    await alice.close();
    await bob.close();
  });

  test.each<[what: string, options: ConnectionOptions, protocol: string | undefined]>([
    ["TLS 1.3", {}, "TLSv1.3"],
    ["TLS 1.2", { maxVersion: "TLSv1.2" }, "TLSv1.2"],
    ["TLS 1.1", { minVersion: "TLSv1.1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" }, undefined],
    ["TLS 1.0", { minVersion: "TLSv1", maxVersion: "TLSv1", ciphers: "DEFAULT@SECLEVEL=0" }, undefined],
    ["a key exchange that is not forward secret", { maxVersion: "TLSv1.2", ciphers: "AES128-GCM-SHA256" }, undefined],
    ["a cipher without authentication", { maxVersion: "TLSv1.2", ciphers: "ECDHE-RSA-AES128-SHA" }, undefined],
  ])("%s", async (_, options, protocol) => {
    const shaken = shake(tls.port, options).then((socket) => {
      const spoken = socket.getProtocol();
      socket.destroy();
      return spoken;
    });
    if (protocol === undefined) await expect(shaken).rejects.toThrow();
    else expect(await shaken).toBe(protocol);
  });

  test("whoever speaks plain HTTP gets nothing", async () => {
    await expect(tls.door.knock()).rejects.toThrow("closed without an answer");
  });

  test("a handshake that stops half way is closed within 14 s, and disturbs nobody", async () => {
    const socket = await openSocket({ port: tls.port });
    // The begin of a ClientHello.
    socket.write(Buffer.from("16030100ba010000b60303", "hex"));
    const startedMs = performance.now();
    const closed = new Promise((resolve) => socket.resume().once("close", resolve));
    const device = await open(tls, "carol");
    expect(performance.now() - startedMs).toBeLessThan(2_000);
    await device.close();
    await closed;
    expect(performance.now() - startedMs).toBeLessThan(14_000);
  });

  test("with an administrative port of its own the public one tells strangers nothing of the inside", async () => {
    const get = async (path: string): Promise<number> => {
      const socket = await shake(tls.port);
      socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
      const [chunk] = (await once(socket, "data")) as [Buffer];
      socket.destroy();
      return Number(chunk.toString().split(" ")[1]);
    };
    expect([await get("/healthz"), await get("/readyz"), await get("/metrics")]).toEqual([200, 404, 404]);
  });
});

describe("the certificate's files change", () => {
  test("a new pair is taken without a restart; sessions go on, with and without a server name", async () => {
    const [first, second] = [make(), make(60)];
    const tls = await startTls("reload", first);
    const { door, port } = tls;
    const expiry = (): Promise<number> => door.metric("bimip_gateway_tls_expiry_timestamp_seconds");
    const daysLeft = async (): Promise<number> => ((await expiry()) - Date.now() / 1_000) / DAY_S;
    expect(await daysLeft()).toBeCloseTo(30, 1);
    const [alice, bob] = [await open(tls, "alice"), await open(tls, "bob")];
    const before = await serialOf(port);

    // One after the other: while they do not belong together the old pair stays.
    await replace(tls.keyFile, second.key);
    await eventually("the odd pair is noticed", () =>
      door.lines.some((line) => line.includes("is not the private key of the first certificate")),
    );
    expect(await serialOf(port)).toBe(before);
    await replace(tls.certFile, second.cert);
    await eventually("the new certificate", async () => (await serialOf(port)) !== before);
    expect(await serialOf(port, { servername: "" })).toBe(await serialOf(port));
    await eventually("its expiry", async () => Math.abs((await daysLeft()) - 30) < 0.1); // the authority's own, in the chain
    expect(door.lines.join("")).not.toContain("PRIVATE KEY");

    await alice.messageSent({ id: "1", to: { eid: "bob" } });
    await bob.until("message", ({ id }) => id === "1");
    const carol = await open(tls, "carol");
    await carol.messageSent({ id: "2", to: { eid: "bob" } });
    await bob.until("message", ({ id }) => id === "2");
    for (const device of [alice, bob, carol]) await device.close();
    await eventually("all are gone", async () => (await door.metric("bimip_gateway_sockets")) === 0);
    await door.system.stop();
  });

  test("a broken file is said once, and the old certificate stays; a good one is taken afterwards", async () => {
    const tls = await startTls("broken", make());
    const before = await serialOf(tls.port);
    const complaints = (): string[] => tls.door.lines.filter((line) => line.includes("TLS files not taken"));
    await replace(tls.certFile, "no certificate");
    await eventually("a complaint", () => complaints().length === 1);
    await rm(tls.certFile);
    await eventually("another complaint", () => complaints().length === 2);
    expect(complaints()[0]).toContain("broken.crt: holds no certificate (PEM)");
    expect(complaints()[1]).toContain("broken.crt: cannot be read (ENOENT)");
    expect(await serialOf(tls.port)).toBe(before);
    const next = make();
    await replace(tls.keyFile, next.key);
    await replace(tls.certFile, next.cert);
    await eventually("the new certificate", async () => (await serialOf(tls.port)) !== before);
    await tls.door.system.stop();
  });

  test("files behind a link that is swapped, as Kubernetes mounts secrets", async () => {
    const put = async (name: string, pair: TestCertificate): Promise<void> => {
      await mkdir(join(directory, name));
      await writeFile(join(directory, name, "tls.crt"), pair.cert);
      await writeFile(join(directory, name, "tls.key"), pair.key);
      await symlink(name, join(directory, "data.new"));
      await rename(join(directory, "data.new"), join(directory, "data"));
    };
    await put("first", make());
    const door = await startDoor({
      BIMIP_TLS_CERT_FILE: join(directory, "data/tls.crt"),
      BIMIP_TLS_KEY_FILE: join(directory, "data/tls.key"),
    });
    const before = await serialOf(door.port);
    await put("second", make());
    await eventually("the new certificate", async () => (await serialOf(door.port)) !== before);
    await door.system.stop();
  });

  test("behind a PROXY protocol listener no connection at all is lost by it", async () => {
    const tls = await startTls("proxied", make(), {
      BIMIP_CLIENT_ADDRESS: "proxy-protocol",
      BIMIP_TRUSTED_PROXIES: "127.0.0.2",
    });
    const failures: unknown[] = [];
    const serials = new Set<string>();
    let goesOn = true;
    const loops = Array.from({ length: 4 }, async () => {
      while (goesOn)
        await serialOf(tls.port).then(
          (serial) => serials.add(serial),
          (error: unknown) => failures.push(error),
        );
    });
    for (let n = 2; n <= 4; n++) {
      const next = make();
      await replace(tls.keyFile, next.key);
      await replace(tls.certFile, next.cert);
      await eventually("the new certificate", () => serials.size === n);
    }
    goesOn = false;
    await Promise.all(loops);
    expect(failures).toEqual([]);
    await tls.door.system.stop();
  });

  test("directly, who is cut off in the moment of the change gets in at once by trying again", async () => {
    const tls = await startTls("hammered", make());
    const errors: string[] = [];
    const serials = new Set<string>();
    let goesOn = true;
    const loops = Array.from({ length: 4 }, async () => {
      let failed = false;
      while (goesOn) {
        try {
          serials.add(await serialOf(tls.port));
          failed = false;
        } catch (error) {
          if (failed) throw error;
          failed = true;
          errors.push((error as NodeJS.ErrnoException).code ?? String(error));
        }
      }
    });
    for (let n = 2; n <= 4; n++) {
      const next = make();
      await replace(tls.keyFile, next.key);
      await replace(tls.certFile, next.cert);
      await eventually("the new certificate", () => serials.size === n);
    }
    goesOn = false;
    await Promise.all(loops);
    expect(errors.filter((code) => code !== "ECONNRESET")).toEqual([]);
    expect(errors.length).toBeLessThan(10);
    await tls.door.system.stop();
  });
});

describe("the start", () => {
  const transports: Transport[] = [];
  afterAll(() => {
    for (const transport of transports) transport.close();
  });

  /** The transport alone, in front of nobody. */
  const listen = async (certFile: string, keyFile: string, port = 0): Promise<Transport> => {
    const transport = await listenUws(
      {
        host: "127.0.0.1",
        port,
        maxFrameBytes: 1_024,
        maxBackpressureBytes: 1_024,
        idleTimeoutS: 8,
        health: createHealth(),
        metrics: createMetrics("gateway"),
        isAdmin: false,
        tls: { files: { certFile, keyFile }, pollMs: 1_000, onUse: () => undefined, onError: () => undefined },
        onCut: () => undefined,
      },
      {
        accept: () => true,
        asked: () => undefined,
        visit: () => undefined,
        gone: () => undefined,
        admit: async () => ({ ok: false, status: 503, message: "nobody is at home" }),
        open: () => Promise.reject(new Error("nobody was let in")) as never,
      },
    );
    transports.push(transport);
    return transport;
  };

  const written = async (name: string, pair: TestCertificate): Promise<[certFile: string, keyFile: string]> => {
    const [certFile, keyFile] = [join(directory, `${name}.crt`), join(directory, `${name}.key`)];
    await writeFile(certFile, pair.cert);
    await writeFile(keyFile, pair.key);
    return [certFile, keyFile];
  };

  test("one file without the other is a mistake", () => {
    for (const name of ["BIMIP_TLS_CERT_FILE", "BIMIP_TLS_KEY_FILE"]) {
      expect(() => readConfig({ BIMIP_JWT_SECRET: SECRET, [name]: "a.pem" })).toThrow(
        "BIMIP_TLS_CERT_FILE and BIMIP_TLS_KEY_FILE: give both, or neither",
      );
    }
  });

  test("a pair that is none, and a file that is not there", async () => {
    const [certFile] = await written("one", make());
    const [, keyFile] = await written("other", make());
    await expect(listen(certFile, keyFile)).rejects.toThrow(
      `BIMIP_TLS_KEY_FILE: ${keyFile}: is not the private key of the first certificate in ${certFile}`,
    );
    const gone = join(directory, "gone.key");
    await expect(listen(certFile, gone)).rejects.toThrow(`${gone}: cannot be read (ENOENT)`);
    await expect(listen(certFile, certFile)).rejects.toThrow(`${certFile}: holds no private key without a passphrase`);
  });

  test("a port that another gateway serves with TLS is taken", async () => {
    const [certFile, keyFile] = await written("twice", make());
    const { port } = await listen(certFile, keyFile);
    await expect(listen(certFile, keyFile, port)).rejects.toThrow(`cannot listen on 127.0.0.1:${port}`);
  });

  test("a certificate that ends soon is told in the log", async () => {
    const tls = await startTls("soon", make(5));
    await eventually("a warning", () =>
      tls.door.lines.some((line) => line.includes("the TLS certificate expires soon")),
    );
    await tls.door.system.stop();
  });
});
