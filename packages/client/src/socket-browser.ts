import { ABNORMAL_CLOSE, type Socket, type SocketFactory, type SocketHandlers } from "./socket.js";

/** The part of the platform's WebSocket that we use; described here so that no DOM types are needed. */
interface PlatformSocket {
  binaryType: string;
  readonly readyState: number;
  onopen: (() => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: ((event: { code: number; reason: string }) => void) | null;
  onerror: (() => void) | null;
  send(data: Uint8Array): void;
  close(code?: number, reason?: string): void;
}

const OPEN = 1;

/** Sockets of browsers. They cannot set headers nor see an HTTP status, so the client authenticates by its first frame. */
export const defaultSockets: SocketFactory = {
  sendsTokenInHeader: false,
  open(url, _token, handlers): Socket {
    const { WebSocket } = globalThis as unknown as { WebSocket: new (url: string) => PlatformSocket };
    return adapt(new WebSocket(url), handlers);
  },
};

function adapt(socket: PlatformSocket, handlers: SocketHandlers): Socket {
  socket.binaryType = "arraybuffer";
  let ended = false;
  const end = (code: number, reason: string): void => {
    if (ended) return;
    ended = true;
    handlers.onClose({ code, reason });
  };
  socket.onopen = handlers.onOpen;
  socket.onmessage = ({ data }) => {
    if (!ended && data instanceof ArrayBuffer) handlers.onFrame(new Uint8Array(data));
  };
  socket.onclose = ({ code, reason }) => end(code, reason);
  // An error is always followed by close; without a handler some platforms report it as uncaught.
  socket.onerror = () => undefined;
  return {
    send: (bytes) => {
      if (socket.readyState === OPEN) socket.send(bytes);
    },
    close: (code, reason) => socket.close(code, reason),
    terminate: () => {
      socket.close();
      // A browser waits up to minutes for a dead peer's close frame: nobody should wait with it.
      queueMicrotask(() => end(ABNORMAL_CLOSE, "the peer does not answer"));
    },
  };
}
