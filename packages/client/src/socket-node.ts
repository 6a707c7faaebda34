import type { IncomingMessage } from "node:http";
import { WebSocket } from "ws";
import { ABNORMAL_CLOSE, type Socket, type SocketClose, type SocketFactory, type SocketHandlers } from "./socket.js";

/** More than any refusal of ours says. */
const REFUSAL_TEXT_CHARS = 1_000;

/** Sockets of Node, by `ws`: the token travels in the Authorization header. */
export const defaultSockets: SocketFactory = {
  sendsTokenInHeader: true,
  open(url, token, handlers): Socket {
    const socket = new WebSocket(url, {
      headers: token === "" ? {} : { authorization: `Bearer ${token}` },
      perMessageDeflate: false,
    });
    return adapt(socket, handlers);
  },
};

function adapt(socket: WebSocket, handlers: SocketHandlers): Socket {
  socket.binaryType = "nodebuffer";
  let ended = false;
  let failure = "";
  const end = (close: SocketClose): void => {
    if (ended) return;
    ended = true;
    handlers.onClose(close);
  };
  socket.on("open", handlers.onOpen);
  socket.on("message", (data, isBinary) => {
    if (!ended && isBinary && Buffer.isBuffer(data)) handlers.onFrame(data);
  });
  socket.on("error", (error) => {
    failure = error.message;
  });
  socket.on("close", (code, reason) => end({ code, reason: reason.toString() || failure }));
  socket.on("unexpected-response", (_request, response: IncomingMessage) => {
    let text = "";
    const refuse = (): void => {
      end({ code: ABNORMAL_CLOSE, reason: text.trim(), httpStatus: response.statusCode ?? 0 });
      socket.terminate();
    };
    response.setEncoding("utf8");
    response.on("data", (chunk: string) => {
      text = (text + chunk).slice(0, REFUSAL_TEXT_CHARS);
    });
    response.on("end", refuse);
    response.on("error", refuse);
  });
  return {
    send: (bytes) => {
      if (socket.readyState === WebSocket.OPEN) socket.send(bytes);
    },
    close: (code, reason) => socket.close(code, reason),
    terminate: () => socket.terminate(),
    pause: () => socket.pause(),
    resume: () => socket.resume(),
  };
}
