export { type AdminAnswer, type AdminServer, answerAdmin, startAdminServer } from "./admin-server.js";
export { alarmAt } from "./alarm.js";
export { isAllowedEndpoint } from "./allowed-endpoint.js";
export { ConfigError, type Environment, loadConfig } from "./config.js";
export { dropOldest } from "./drop-oldest.js";
export { codeOf, fileState } from "./file-state.js";
export { createHealth, type Health, type HealthPart, type Readiness } from "./health.js";
export { createLogger, type Logger } from "./logger.js";
export {
  type Counter,
  createMetrics,
  type Gauge,
  type GaugeOptions,
  type Histogram,
  type HistogramOptions,
  type MetricOptions,
  type Metrics,
} from "./metrics.js";
export { type ReadyMessage, type RunningService, runService, type ServiceContext } from "./run-service.js";
export type { Rate, Setting } from "./setting.js";
export { type SettingName, type Settings, settings, settingsTable } from "./settings.js";
