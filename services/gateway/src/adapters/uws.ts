import type { Door, Transport } from "../ports.js";
import { stateOf } from "./certificate.js";
import { loadUws } from "./load-uws.js";
import { ProxyListener } from "./proxy-listener.js";
import { openSecureApp, TlsReload } from "./tls-reload.js";
import { UwsApp, type UwsAppContext } from "./uws-app.js";
import type { UwsOptions } from "./uws-options.js";
import { Gathered } from "./uws-socket.js";

const LOOPBACK = "127.0.0.1";
/** What was handed on to the last app's port just before it was replaced has arrived there by then. */
const HAND_ON_MS = 5_000;

/** Where connections come in, and how an app takes the place of another without turning any away. */
interface Entrance {
  readonly port: number;
  replace(last: UwsApp, next: UwsApp): void;
  stopAccepting(): void;
  close(): void;
}

/** Listens for WebSockets on /v1/ws, and answers /healthz and what operators ask. Rejects when the port is taken. */
export async function listenUws(options: UwsOptions, door: Door): Promise<Transport> {
  const uws = await loadUws();
  const { host, port, proxyProtocol, tls } = options;
  const proxies = proxyProtocol && (await listenProxies(host, port, proxyProtocol));
  // Who connects to the inner port past the proxies' listener is nobody's client.
  const peerOf = (address: string): string => (proxies === undefined ? address : (proxies.clientOf(address) ?? ""));
  const context: UwsAppContext = { uws, options, door, gathered: new Gathered(), peerOf };
  const apps = new Set<UwsApp>();
  try {
    const state = tls === undefined ? "" : await stateOf(tls.files);
    const secure = tls && (await openSecureApp(context, tls));
    let current = secure?.app ?? new UwsApp(context, undefined);
    apps.add(current);
    const entrance = proxies === undefined ? enterDirectly(context, current) : enterBehind(proxies, current);
    const onNew = (next: UwsApp): void => {
      entrance.replace(current, next);
      apps.add(next);
      current = next;
    };
    const reload = tls && secure && new TlsReload(context, tls, { current: secure.certificate, state, onNew });
    if (tls !== undefined && secure !== undefined) tls.onUse(secure.certificate);
    return {
      port: entrance.port,
      stopAccepting() {
        reload?.stop();
        entrance.stopAccepting();
        current.stopListening();
      },
      close() {
        reload?.stop();
        entrance.close();
        for (const app of apps) app.close();
      },
    };
  } catch (error) {
    proxies?.close();
    for (const app of apps) app.close();
    throw error;
  }
}

/** Clients connect to the app's own port. */
function enterDirectly(context: UwsAppContext, first: UwsApp): Entrance {
  const { host, tls } = context.options;
  // An app that will be replaced shares its port with the next one.
  const isShared = tls !== undefined;
  const wanted = isShared ? freePort(context) : context.options.port;
  const port = first.listen(host, wanted, isShared);
  if (port === undefined) throw taken(host, wanted);
  return {
    port,
    replace(last, next) {
      if (next.listen(host, port, true) === undefined) {
        next.close();
        throw taken(host, port);
      }
      // Right after the kernel's queue of the last one was emptied: what stands in it when it closes is reset.
      setImmediate(() => last.retire());
    },
    stopAccepting: () => undefined,
    close: () => undefined,
  };
}

/** What is shared is shared with a second gateway, too; so it is looked at before. @throws Error when somebody listens there */
function freePort(context: UwsAppContext): number {
  const { host, port } = context.options;
  const app = new UwsApp(context, undefined);
  const free = app.listen(host, port, false);
  app.close();
  if (free === undefined) throw taken(host, port);
  return free;
}

/** The proxies' listener keeps its port and hands on to the app's. */
function enterBehind(proxies: ProxyListener, first: UwsApp): Entrance {
  const target = (app: UwsApp): void => {
    const port = app.listen(LOOPBACK, 0, false);
    if (port === undefined) throw new Error(`cannot listen on ${LOOPBACK}`);
    proxies.targetPort = port;
  };
  target(first);
  return {
    port: proxies.port,
    replace(last, next) {
      target(next);
      setTimeout(() => last.retire(), HAND_ON_MS).unref();
    },
    stopAccepting: () => proxies.stopAccepting(),
    close: () => proxies.close(),
  };
}

async function listenProxies(host: string, port: number, options: Parameters<typeof ProxyListener.listen>[2]) {
  try {
    return await ProxyListener.listen(host, port, options);
  } catch (cause) {
    throw taken(host, port, cause);
  }
}

function taken(host: string, port: number, cause?: unknown): Error {
  return new Error(`cannot listen on ${host}:${port} (BIMIP_HOST, BIMIP_PORT)`, { cause });
}
