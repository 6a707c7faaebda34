import { createConnection } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

const RETRY_MS = 20;
const ANSWER_MS = 2_000;

/** A user of the server and its password. */
export interface NatsLogin {
  readonly user: string;
  readonly password: string;
}

/**
 * Resolves when a NATS server answers on this port of 127.0.0.1 and its JetStream answers too. Tries until `signal`
 * aborts, and rejects with its reason then.
 *
 * @param login absent: without a user
 */
export async function waitForJetStream(port: number, signal: AbortSignal, login?: NatsLogin): Promise<void> {
  while (!(await jetStreamAnswers(port, signal, login))) {
    signal.throwIfAborted();
    await sleep(RETRY_MS, undefined, { signal });
  }
}

/** Asks for the account's JetStream limits in the plain text protocol; no client library is needed for one question. */
function jetStreamAnswers(port: number, signal: AbortSignal, login?: NatsLogin): Promise<boolean> {
  const options = { verbose: false, pedantic: false, headers: true, no_responders: true };
  const auth = login === undefined ? {} : { user: login.user, pass: login.password };
  return new Promise((resolve) => {
    const socket = createConnection({ port, host: "127.0.0.1" });
    let heard = "";
    const finish = (up: boolean) => {
      signal.removeEventListener("abort", giveUp);
      socket.destroy();
      resolve(up);
    };
    const giveUp = () => finish(false);
    signal.addEventListener("abort", giveUp, { once: true });
    socket.setTimeout(ANSWER_MS, giveUp);
    socket.on("error", giveUp);
    socket.on("close", giveUp);
    socket.on("data", (chunk: Buffer) => {
      const asked = heard.includes("\r\n");
      heard += chunk.toString("latin1");
      if (!asked && heard.startsWith("INFO ") && heard.includes("\r\n")) {
        const hello = JSON.stringify({ ...options, ...auth });
        socket.write(`CONNECT ${hello}\r\nSUB probe 1\r\nPUB $JS.API.INFO probe 0\r\n\r\n`);
      }
      // Either the answer, or HMSG with status 503: nobody serves JetStream yet.
      if (heard.includes("account_info_response") && heard.endsWith("}\r\n")) finish(!heard.includes('"error":{'));
      else if (heard.includes("\nHMSG ")) finish(false);
    });
  });
}
