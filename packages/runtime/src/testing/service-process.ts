import { runService } from "../index.js";

/**
 * A service as a process of its own, for the tests of runService. The argument says how it behaves; what happens is
 * seen in its log.
 */
const behaviour = process.argv[2] ?? "";

await runService({
  name: "test",
  async start({ logger, health, metrics, signal }) {
    metrics.counter({ name: "bimip_test_total", help: "Counted." }).inc();
    health.set("work", true);
    if (behaviour === "start-fails") throw new Error("no luck today");
    if (behaviour === "start-hangs") {
      logger.info("hanging");
      await new Promise((_, reject) => {
        // A timer, since a promise alone does not keep a process alive.
        const alive = setInterval(() => undefined, 1_000);
        signal.addEventListener("abort", () => {
          clearInterval(alive);
          reject(new Error("given up"));
        });
      });
    }
    const alive = setInterval(() => undefined, 1_000);
    if (behaviour === "late") {
      health.set("work", false, "not yet");
      process.once("SIGUSR2", () => health.set("work", true));
      logger.info("waiting");
    }
    process.once("SIGUSR1", () => {
      if (behaviour === "throws") throw new Error("a bug");
      void Promise.reject(new Error("a lost bug"));
    });
    return {
      port: 4001,
      async stop() {
        logger.info({ ready: health.ready.ok, aborted: signal.aborted }, "stop called");
        if (behaviour === "stop-fails") throw new Error("cannot let go");
        if (behaviour === "stop-hangs") await new Promise(() => undefined);
        clearInterval(alive);
      },
    };
  },
});
