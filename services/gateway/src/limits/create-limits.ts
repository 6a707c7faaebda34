import type { Logger } from "@bimip/runtime";
import type { Audit } from "../audit.js";
import type { GatewayConfig } from "../config.js";
import type { Gateway } from "../gateway.js";
import type { GatewayMetrics } from "../metrics.js";
import { Abuse } from "./abuse.js";
import { Overload } from "./overload.js";
import { Rates } from "./rates.js";

/** What the settings make of the limits on stanzas; `stop` ends what runs. */
export function createLimits(
  config: GatewayConfig,
  { audit, metrics, logger }: { readonly audit: Audit; readonly metrics: GatewayMetrics; readonly logger: Logger },
): Pick<Gateway, "rates" | "abuse" | "overload"> & { readonly stop: () => void } {
  const rates = Rates.of(
    {
      messages: config.BIMIP_RATE_MESSAGES,
      signals: config.BIMIP_RATE_SIGNALS,
      awareness: config.BIMIP_RATE_AWARENESS,
      location: config.BIMIP_RATE_LOCATION,
      other: config.BIMIP_RATE_OTHER,
      bytes: config.BIMIP_RATE_BYTES,
    },
    {
      messages: config.BIMIP_RATE_MESSAGES_USER,
      signals: config.BIMIP_RATE_SIGNALS_USER,
      awareness: config.BIMIP_RATE_AWARENESS_USER,
      location: config.BIMIP_RATE_LOCATION_USER,
      other: config.BIMIP_RATE_OTHER_USER,
      bytes: config.BIMIP_RATE_BYTES_USER,
    },
  );
  const abuse = new Abuse({
    refusals: config.BIMIP_ABUSE_REFUSALS,
    windowMs: config.BIMIP_ABUSE_WINDOW_S * 1_000,
    audit,
    metrics,
  });
  const overload = new Overload({
    lagMs: config.BIMIP_SHED_LAG_MS,
    memoryBytes: config.BIMIP_SHED_MEMORY_BYTES,
    onChange(reason, sheds) {
      metrics.shedding.set({ reason }, sheds ? 1 : 0);
      const text = sheds ? "overloaded: new connections and messages are refused" : "not overloaded any more";
      logger.warn({ reason }, text);
    },
    onShed: (what) => metrics.shed.inc({ what }),
  });
  overload.start();
  return {
    rates,
    abuse,
    overload,
    stop: () => {
      rates?.stop();
      overload.stop();
    },
  };
}
