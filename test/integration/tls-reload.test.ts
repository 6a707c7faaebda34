// When a new certificate cannot be taken at once.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createHealth, createMetrics } from "@bimip/runtime";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { readCertificate, stateOf } from "../../services/gateway/src/adapters/certificate.js";
import { loadUws } from "../../services/gateway/src/adapters/load-uws.js";
import { TlsReload } from "../../services/gateway/src/adapters/tls-reload.js";
import type { UwsAppContext } from "../../services/gateway/src/adapters/uws-app.js";
import { makeCertificate } from "../kit/certificates.js";
import { eventually } from "../kit/eventually.js";

let directory = "";
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "bimip-tls-reload-"));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

test("a good pair that could not be taken for a moment is tried again, and that is said once", async () => {
  const files = { certFile: join(directory, "tls.crt"), keyFile: join(directory, "tls.key") };
  const write = async (): Promise<void> => {
    const { cert, key } = makeCertificate({ name: "localhost" });
    await writeFile(files.certFile, cert);
    await writeFile(files.keyFile, key);
  };
  await write();
  const [current, state] = [await readCertificate(files), await stateOf(files)];
  await write();
  let tries = 0;
  const [onUse, onError] = [vi.fn(), vi.fn()];
  const options = {
    health: createHealth(),
    metrics: createMetrics("gateway"),
    maxFrameBytes: 1_024,
    idleTimeoutS: 8,
  };
  const context = { uws: await loadUws(), options, door: {}, peerOf: String } as unknown as UwsAppContext;
  const reload = new TlsReload(
    context,
    { files, pollMs: 10, onUse, onError },
    {
      current,
      state,
      onNew(app) {
        app.close();
        if (++tries < 3) throw new Error("no file descriptor is left");
      },
    },
  );
  await eventually("it is taken", () => onUse.mock.calls.length > 0);
  reload.stop();
  expect([tries, onError.mock.calls.length]).toEqual([3, 1]);
});
