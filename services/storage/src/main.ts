import { runService } from "@bimip/runtime";
import { readConfig } from "./config.js";
import { createStorage } from "./service.js";

await runService({ name: "storage", start: (context) => createStorage(readConfig(), context) });
