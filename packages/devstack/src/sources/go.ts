import { join } from "node:path";
import { createAnswerWatch } from "../answer-watch.js";
import { runCommand } from "../run-command.js";
import { NATS_VERSION } from "../version.js";
import type { NatsSource } from "./source.js";

const MODULE = `github.com/nats-io/nats-server/v2@v${NATS_VERSION}`;

/** Compiled from source by an installed Go, which verifies every module through its checksum database. */
export function createGoSource(): NatsSource {
  return {
    name: "go",
    async obtain({ tempDir, env, signal, onProgress }) {
      const goEnv = {
        ...env,
        GOBIN: tempDir,
        // An interrupted go leaves its work behind; here it is removed with the folder.
        GOTMPDIR: tempDir,
        CGO_ENABLED: "0",
        GIT_TERMINAL_PROMPT: "0",
        // Public modules all: no setting of this machine may exempt them from the checksum database.
        GOPRIVATE: "none",
        GONOSUMDB: "none",
      };
      const database = await runCommand({ command: "go", args: ["env", "GOSUMDB"], env: goEnv, signal });
      if (database.trim() === "off")
        throw new Error("Go's checksum database is off (GOSUMDB), so nothing could be verified");
      const watch = createAnswerWatch(signal);
      onProgress("compiling nats-server with go install (a minute or two)");
      try {
        await runCommand({
          command: "go",
          // -x says when each request to the module proxy is asked and answered; plain output would not.
          args: ["install", "-x", "-trimpath", "-ldflags=-s -w", MODULE],
          env: goEnv,
          signal: watch.signal,
          // apt in the same race is done in seconds, if these cores let it.
          background: true,
          onLine(line) {
            const [, url, answer] = /^# get (\S+?)(: .*)?$/.exec(line) ?? [];
            if (!url) return;
            if (answer) watch.answered(url);
            else watch.asked(url);
          },
        });
      } finally {
        watch.close();
      }
      return join(tempDir, process.platform === "win32" ? "nats-server.exe" : "nats-server");
    },
  };
}
