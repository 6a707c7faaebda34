// The least that telling many can cost: a process whose uWebSockets.js sends each frame of a client to all other clients.
import type { WebSocket } from "uWebSockets.js";
import { loadUws } from "../../services/gateway/src/adapters/load-uws.js";

const uws = await loadUws();
const sockets = new Set<WebSocket<object>>();
const app = uws.App();
app.ws<object>("/v1/ws", {
  compression: uws.DISABLED,
  open: (ws) => void sockets.add(ws),
  message(author, message) {
    const frame = message.slice(0);
    for (const ws of sockets) if (ws !== author) ws.send(frame, true);
  },
  close: (ws) => void sockets.delete(ws),
});
app.listen("127.0.0.1", 0, (listening) => {
  if (!listening) throw new Error("cannot listen");
  process.send?.({ port: uws.us_socket_local_port(listening) });
});
