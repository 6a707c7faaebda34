import { fork } from "node:child_process";

/** Starts the test service as its child and passes on that it is ready; killed hard by the test. */
const child = fork(new URL("./service-process.ts", import.meta.url), {
  stdio: ["ignore", "inherit", "inherit", "ipc"],
});
child.on("message", () => process.send?.({ child: child.pid }));
