import { randomUUID } from "node:crypto";
import { Writable } from "node:stream";
import { BimipError, type IncomingMessage, type Outgoing } from "@bimip/client";
import { ErrorCode } from "@bimip/protocol";
import { type ChatInput, type ChatView, createPlainView, createTerminalView } from "./chat-screen.js";
import { CliError } from "./cli-error.js";
import { newest } from "./commands/history.js";
import { type Output, printable } from "./output.js";
import { OwnLines } from "./own-lines.js";
import type { ProgramContext } from "./program-context.js";
import { refusalOf } from "./refusal.js";
import type { Session } from "./session.js";
import { historyText, messageJson, messageText, tick, timeText } from "./shown-message.js";
import { Typing } from "./typing.js";

/** Earlier messages shown at the start, more if more are unread. */
const EARLIER = 10;
const MAX_EARLIER = 200;

/** What two people write to each other, as it is shown and sent. */
export class Conversation {
  readonly #session: Session;
  readonly #peer: string;
  readonly #output: Output;
  #view: ChatView | undefined;
  #ownLines = new OwnLines(false);
  readonly #typing: Typing;
  /** Said last of what was refused; it is not said again and again. */
  #refusal = "";
  /** Came before the earlier ones were shown. */
  #early: IncomingMessage[] | undefined = [];
  #shownTo = 0;
  #underWay = 0;
  #ended = false;
  #finish: () => void = () => undefined;
  /** Messages that were not stored. */
  failures = 0;

  constructor(session: Session, peer: string, output: Output) {
    this.#session = session;
    this.#peer = peer;
    this.#output = output;
    const show = (text: string | undefined): void =>
      this.#view?.status(text === undefined ? undefined : output.paint("dim", text));
    this.#typing = new Typing({ client: session.client, peer, show });
    session.client.on("signal", (signal) => this.#typing.onSignal(signal));
    session.client.on("message", (message) => this.#onMessage(message));
    session.client.on("outgoing", (outgoing) => this.#onOutgoing(outgoing));
  }

  /** Shows how the conversation ended last time, and what is unread. */
  async showEarlier(): Promise<void> {
    const { client } = this.#session;
    if (!this.#output.json) {
      try {
        const { total } = await client.unread({ with: this.#peer });
        const items = await newest(client, Math.min(Math.max(EARLIER, total), MAX_EARLIER), this.#peer);
        const unread = items.filter(({ own }) => !own).slice(-total || items.length);
        for (const item of items) {
          if (total > 0 && item === unread[0]) this.#aside(`${total} unread`);
          this.#output.say(historyText(item, this.#output));
          this.#shownTo = item.index;
        }
        if (total > 0) for (const item of unread) item.read();
      } catch (error) {
        this.#aside(`earlier messages cannot be shown: ${CliError.from(error).message}`);
      }
    }
    const early = this.#early ?? [];
    this.#early = undefined;
    for (const message of early) this.#onMessage(message);
  }

  /** Resolves when the input has ended and everything is answered; rejects when the server ends the session. */
  run(context: ProgramContext): Promise<void> {
    const { client } = this.#session;
    return new Promise((resolve, reject) => {
      this.#finish = resolve;
      client.on("error", (error) => {
        if (client.state === "closed") return reject(error);
        if (error.code === ErrorCode.NOT_ALLOWED) return this.#onRefused(error);
        this.#aside(`${error.details}; trying again`);
      });
      client.on("state", (state) => state === "online" && this.#aside("connected again"));
      client.on("gap", ({ details }) => this.#aside(details));
      this.#view = this.#createView(context, {
        onLine: (line) => this.#onLine(line),
        onEnd: () => {
          this.#ended = true;
          if (this.#underWay === 0) resolve();
        },
        onInterrupt: resolve,
        onTyping: () => this.#typing.typed(),
      });
      this.#ownLines = new OwnLines(this.#view.live);
    });
  }

  close(): void {
    this.#typing.hide();
    this.#ownLines.settle();
    this.#view?.close();
  }

  #createView({ stdin, stdout }: ProgramContext, input: ChatInput): ChatView {
    const terminal = stdin.isTTY === true && stdout.isTTY === true && stdout instanceof Writable && !this.#output.json;
    if (terminal) return createTerminalView(stdin, stdout, input);
    return createPlainView(stdin, (line) => this.#output.say(line), input);
  }

  #onMessage(message: IncomingMessage): void {
    if (this.#early !== undefined) return void this.#early.push(message);
    const { from, to, own, index } = message;
    const ours = from.eid === this.#peer || (own && to.eid === this.#peer);
    if (!ours || index <= this.#shownTo) return;
    message.read();
    if (!own) this.#typing.hide();
    if (this.#output.json) this.#output.result({ event: "message", ...messageJson("message", message) }, "");
    else this.#show(messageText(message, this.#output));
  }

  #onOutgoing(outgoing: Outgoing): void {
    const { id, to, state, at, index } = outgoing;
    if (to !== this.#peer) return;
    this.#ownLines.change(outgoing);
    // sent and failed are told with the text.
    const isReceipt = state === "delivered" || state === "read" || state === "played";
    if (this.#output.json && isReceipt) this.#output.result({ event: state, id, to, index, at }, "");
  }

  #onLine(line: string): void {
    if (line.trim() === "") return;
    this.#typing.sent();
    const { paint } = this.#output;
    const id = randomUUID();
    const shown = `${paint("dim", timeText(new Date()))} ${paint("green", printable(this.#session.eid))}: ${printable(line)}`;
    const pending = this.#view?.pending(`${shown} ${tick("queued", this.#output)}`);
    if (pending !== undefined) {
      this.#ownLines.add(id, pending, (state, error) => {
        const why = error === undefined ? "" : ` ${paint("red", refusalOf(error, this.#peer).message)}`;
        return `${shown} ${tick(state, this.#output)}${why}`;
      });
    }
    this.#underWay++;
    void this.#send(id, line);
  }

  async #send(id: string, text: string): Promise<void> {
    const { json, result } = this.#output;
    try {
      const sent = await this.#session.client.send({ to: this.#peer, text, id });
      if (json) result({ event: "sent", text, ...sent }, "");
    } catch (thrown) {
      const { message, code } = refusalOf(thrown, this.#peer);
      this.failures++;
      if (json) result({ event: "failed", text, error: message, code }, "");
      // What was not even queued.
      this.#ownLines.change({ id, state: "failed", error: BimipError.from(thrown) });
    }
    if (--this.#underWay === 0 && this.#ended) this.#finish();
  }

  /** What is no message, such as that one types: to whom it is refused it is not said again. */
  #onRefused(error: BimipError): void {
    this.#typing.refuse();
    const { message } = refusalOf(error, this.#peer);
    if (message === this.#refusal) return;
    this.#refusal = message;
    this.#aside(message);
  }

  /** A remark of the program itself. */
  #aside(text: string): void {
    if (this.#output.json) this.#output.note(text);
    else this.#show(this.#output.paint("dim", `(${printable(text)})`));
  }

  #show(line: string): void {
    // What was written before stands above.
    this.#ownLines.settle();
    if (this.#view === undefined) this.#output.say(line);
    else this.#view.print(line);
  }
}
