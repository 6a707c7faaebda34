import { runService } from "@bimip/runtime";
import { readConfig } from "./config.js";
import { createGateway } from "./service.js";

await runService({ name: "gateway", start: (context) => createGateway(readConfig(), context) });
