import { ABNORMAL_CLOSE, type Socket, type SocketFactory, type SocketHandlers } from "./socket.js";

const OPEN = 1;

/** Sockets of browsers. They cannot set headers nor see an HTTP status, so the client authenticates by its first frame. */
export const defaultSockets: SocketFactory = {
  sendsTokenInHeader: false,
  open(url, _token, handlers): Socket {
    return adapt(new WebSocket(url), handlers);
  },
};

function adapt(socket: WebSocket, handlers: SocketHandlers): Socket {
  socket.binaryType = "arraybuffer";
  let ended = false;
  const end = (code: number, reason: string): void => {
    if (ended) return;
    ended = true;
    handlers.onClose({ code, reason });
  };
  socket.addEventListener("open", handlers.onOpen);
  socket.addEventListener("message", ({ data }) => {
    if (!ended && data instanceof ArrayBuffer) handlers.onFrame(new Uint8Array(data));
  });
  // An error is always followed by close, and a browser says nothing about it.
  socket.addEventListener("close", ({ code, reason }) => end(code, reason));
  return {
    send: (bytes) => {
      // Our encoder never writes into shared memory, which is all that the wider type would allow beside this one.
      if (socket.readyState === OPEN) socket.send(bytes as Uint8Array<ArrayBuffer>);
    },
    close: (code, reason) => socket.close(code, reason),
    terminate: () => {
      socket.close();
      // A browser waits up to minutes for a dead peer's close frame: nobody should wait with it.
      queueMicrotask(() => end(ABNORMAL_CLOSE, "the peer does not answer"));
    },
  };
}
