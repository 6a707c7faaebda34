import { runService } from "@bimip/runtime";
import { readConfig } from "./config.js";
import { createRouter } from "./service.js";

await runService({ name: "router", start: (context) => createRouter(readConfig(), context) });
