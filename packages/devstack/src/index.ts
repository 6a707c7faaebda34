export { type FetchPlan } from "./fetch-nats-server.js";
export { findNatsServer, type FindOptions, type NatsBinary } from "./find-nats-server.js";
export { type NatsServerOptions } from "./nats-launcher.js";
export { type NatsServerHandle, startNatsServer } from "./nats-server.js";
export { type ServiceSpec } from "./service-spec.js";
export { type NatsSource, type SourceContext } from "./sources/source.js";
export { type Stack, type StackOptions, type StackProcess, startStack } from "./stack.js";
export { describeEvent, type StackEvent } from "./stack-event.js";
export { MIN_NATS_VERSION, NATS_VERSION } from "./version.js";
