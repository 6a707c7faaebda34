import { type Certificate, nameFiles, readCertificate, stateOf } from "./certificate.js";
import { UwsApp, type UwsAppContext } from "./uws-app.js";
import type { TlsOptions } from "./uws-options.js";

/** An app, and the certificate that it has taken. */
export interface SecureApp {
  readonly app: UwsApp;
  readonly certificate: Certificate;
}

/**
 * An app with what the files hold now.
 *
 * @throws Error naming the file that cannot be used, or that both were changed meanwhile
 */
export async function openSecureApp(context: UwsAppContext, { files }: TlsOptions): Promise<SecureApp> {
  const certificate = await readCertificate(files);
  const app = openApp(context, files);
  // It reads the files by itself. What it has read is what was looked at, if that still stands there.
  const again = await readCertificate(files).catch(() => undefined);
  if (again !== undefined && isSame(again, certificate)) return { app, certificate };
  app.close();
  throw new Error(`${nameFiles(files)}: were changed while they were read`);
}

function openApp(context: UwsAppContext, files: TlsOptions["files"]): UwsApp {
  try {
    return new UwsApp(context, files);
  } catch (cause) {
    throw new Error(`${nameFiles(files)}: the TLS library does not take them`, { cause });
  }
}

/**
 * Looks at the files again and again, and makes a new app when they hold another pair. The files are looked at in turn: notices
 * of changes do not come from every file system, nor for the swapped links that Kubernetes mounts secrets by.
 */
export class TlsReload {
  readonly #context: UwsAppContext;
  readonly #tls: TlsOptions;
  readonly #onNew: (app: UwsApp) => void;
  #current: Certificate;
  /** Of the files as they were taken last. */
  #state: string;
  /** The last complaint, and the state that it was about. */
  #told = "";
  #timer: NodeJS.Timeout | undefined;
  #isStopped = false;

  /** @param state of the files from before `current` was read. @param onNew gets what is to take the place of the last one */
  constructor(
    context: UwsAppContext,
    tls: TlsOptions,
    {
      current,
      state,
      onNew,
    }: { readonly current: Certificate; readonly state: string; readonly onNew: (app: UwsApp) => void },
  ) {
    this.#context = context;
    this.#tls = tls;
    this.#current = current;
    this.#state = state;
    this.#onNew = onNew;
    this.#arm();
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
  }

  #arm(): void {
    if (this.#isStopped) return;
    this.#timer = setTimeout(() => void this.#look(), this.#tls.pollMs).unref();
  }

  async #look(): Promise<void> {
    // Before it is read: what is written in between is another state at the next look.
    const state = await stateOf(this.#tls.files);
    try {
      if (state !== this.#state) await this.#take();
      this.#state = state;
    } catch (error) {
      // Not the last word: one of the two may be replaced before the other, or there was no file descriptor to read them.
      this.#complain(state, error instanceof Error ? error : new Error(String(error)));
    }
    this.#arm();
  }

  #complain(state: string, error: Error): void {
    const told = `${state} ${error.message}`;
    if (told !== this.#told) this.#tls.onError(error);
    this.#told = told;
  }

  async #take(): Promise<void> {
    if (isSame(await readCertificate(this.#tls.files), this.#current)) return;
    const { app, certificate } = await openSecureApp(this.#context, this.#tls);
    if (this.#isStopped) return app.close();
    this.#onNew(app);
    this.#current = certificate;
    this.#tls.onUse(certificate);
  }
}

function isSame(one: Certificate, other: Certificate): boolean {
  return one.cert.equals(other.cert) && one.key.equals(other.key);
}
