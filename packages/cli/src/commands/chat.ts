import { Writable } from "node:stream";
import type { IncomingMessage } from "@bimip/client";
import { Command } from "commander";
import { type ChatInput, type ChatView, createPlainView, createTerminalView } from "../chat-screen.js";
import { CliError } from "../cli-error.js";
import { createOutput, type Output, printable } from "../output.js";
import type { ProgramContext } from "../program-context.js";
import { connect, createSession, type Session, type SessionOptions, withSessionOptions } from "../session.js";
import { messageJson, messageText, timeText } from "../shown-message.js";
import { onStopSignal } from "../stop-signal.js";

const DEFAULT_DEVICE = "cli";

interface ChatOptions extends SessionOptions {
  readonly to: string;
  readonly json?: boolean;
}

/** `bimip chat`: two people type to each other. */
export function chatCommand(context: ProgramContext): Command {
  const command = new Command("chat")
    .description("Talk with one person: each line is a message; … = under way, ✓ = stored.")
    .requiredOption("--to <eid>", "whom you talk with");
  return withSessionOptions(command, DEFAULT_DEVICE)
    .option("--json", "one line of JSON an event: message, sent, failed")
    .addHelpText(
      "after",
      `
Examples:
  $ npx bimip chat --as alice@example.com --to bob@example.com
  $ printf 'one\\ntwo\\n' | npx bimip chat --as alice@example.com --to bob@example.com

Ctrl-D sends what is under way and ends, Ctrl-C ends at once.`,
    )
    .action((options: ChatOptions) => chat(options, context));
}

async function chat(options: ChatOptions, context: ProgramContext): Promise<void> {
  const output = createOutput({ ...context, json: options.json === true });
  const session = await createSession(options, DEFAULT_DEVICE, context);
  const stop = onStopSignal();
  const conversation = new Conversation(session, options.to, output);
  try {
    await Promise.race([connect(session), stop.first]);
    output.say(
      output.paint("dim", `connected as ${printable(session.eid)}; each line goes to ${printable(options.to)}`),
    );
    await Promise.race([conversation.run(context), stop.first]);
  } catch (error) {
    throw CliError.from(error);
  } finally {
    stop.dispose();
    conversation.close();
    await session.client.close();
  }
  if (conversation.failures > 0) throw new CliError(`${conversation.failures} not sent`);
}

class Conversation {
  readonly #session: Session;
  readonly #peer: string;
  readonly #output: Output;
  #view: ChatView | undefined;
  #underWay = 0;
  #ended = false;
  #finish: () => void = () => undefined;
  /** Messages that were not stored. */
  failures = 0;

  constructor(session: Session, peer: string, output: Output) {
    this.#session = session;
    this.#peer = peer;
    this.#output = output;
    session.client.on("message", (message) => this.#onMessage(message));
  }

  /** Resolves when the input has ended and everything is answered; rejects when the server ends the session. */
  run(context: ProgramContext): Promise<void> {
    const { client } = this.#session;
    return new Promise((resolve, reject) => {
      this.#finish = resolve;
      client.on("error", (error) => {
        if (client.state === "closed") return reject(error);
        this.#aside(`${error.details}; trying again`);
      });
      client.on("state", (state) => state === "online" && this.#aside("connected again"));
      this.#view = this.#createView(context, {
        onLine: (line) => this.#onLine(line),
        onEnd: () => {
          this.#ended = true;
          if (this.#underWay === 0) resolve();
        },
        onInterrupt: resolve,
      });
    });
  }

  close(): void {
    this.#view?.close();
  }

  #createView({ stdin, stdout }: ProgramContext, input: ChatInput): ChatView {
    const terminal = stdin.isTTY === true && stdout.isTTY === true && stdout instanceof Writable && !this.#output.json;
    if (terminal) return createTerminalView(stdin, stdout, input);
    return createPlainView(stdin, (line) => this.#output.say(line), input);
  }

  #onMessage(message: IncomingMessage): void {
    const { from, to } = message;
    const ours = from.eid === this.#peer || (from.eid === this.#session.eid && to.eid === this.#peer);
    if (!ours) return;
    if (this.#output.json) this.#output.result({ event: "message", ...messageJson("message", message) }, "");
    else this.#show(messageText(message, this.#output));
  }

  #onLine(line: string): void {
    if (line.trim() === "") return;
    const { paint } = this.#output;
    const shown = `${paint("dim", timeText(new Date()))} ${paint("green", printable(this.#session.eid))}: ${printable(line)}`;
    const settle = this.#view?.pending(`${shown} ${paint("dim", "…")}`);
    this.#underWay++;
    void this.#send(line, (mark) => settle?.(`${shown} ${mark}`));
  }

  async #send(line: string, settle: (mark: string) => void): Promise<void> {
    const { json, paint, result } = this.#output;
    try {
      const sent = await this.#session.client.send({ to: this.#peer, text: line });
      if (json) result({ event: "sent", text: line, ...sent }, "");
      settle(paint("green", "✓"));
    } catch (thrown) {
      const { message, code } = CliError.from(thrown);
      this.failures++;
      if (json) result({ event: "failed", text: line, error: message, code }, "");
      settle(paint("red", `✗ ${message}`));
    }
    if (--this.#underWay === 0 && this.#ended) this.#finish();
  }

  /** A remark of the program itself. */
  #aside(text: string): void {
    if (this.#output.json) this.#output.note(text);
    else this.#show(this.#output.paint("dim", `(${printable(text)})`));
  }

  #show(line: string): void {
    if (this.#view === undefined) this.#output.say(line);
    else this.#view.print(line);
  }
}
