import { runService } from "@bimip/runtime";
import { readConfig } from "./config.js";
import { createAwareness } from "./service.js";

await runService({ name: "awareness", start: (context) => createAwareness(readConfig(), context) });
