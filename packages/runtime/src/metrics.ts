import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";

export type { Counter, Gauge, Histogram } from "prom-client";

/** A metric's name starts with `bimip_` and ends in its unit, or in `_total` for a counter. */
export interface MetricOptions<L extends string> {
  readonly name: `bimip_${string}`;
  readonly help: string;
  readonly labelNames?: readonly L[];
}

/** `collect` is called at each scrape, for values that are cheaper to read than to keep. */
export interface GaugeOptions<L extends string> extends MetricOptions<L> {
  readonly collect?: (gauge: Gauge<L>) => void;
}

/** `buckets` are upper bounds in the metric's unit, ascending. */
export interface HistogramOptions<L extends string> extends MetricOptions<L> {
  readonly buckets?: readonly number[];
}

/** The metrics of one service: factories, and the text that Prometheus reads. A name can be taken once. */
export interface Metrics {
  counter<L extends string = never>(options: MetricOptions<L>): Counter<L>;
  gauge<L extends string = never>(options: GaugeOptions<L>): Gauge<L>;
  histogram<L extends string = never>(options: HistogramOptions<L>): Histogram<L>;
  /** Prometheus' exposition format. */
  text(): Promise<string>;
  /** The content type that goes with `text`. */
  readonly contentType: string;
}

/** Metrics in a registry of their own, labelled with the service, with Node's process metrics under `bimip_`. */
export function createMetrics(service: string): Metrics {
  const registry = new Registry();
  registry.setDefaultLabels({ service });
  collectDefaultMetrics({ register: registry, prefix: "bimip_" });
  const common = <L extends string>(options: MetricOptions<L>) => ({
    name: options.name,
    help: options.help,
    labelNames: options.labelNames ?? [],
    registers: [registry],
  });
  return {
    counter<L extends string>(options: MetricOptions<L>) {
      return new Counter<L>(common(options));
    },
    gauge<L extends string>(options: GaugeOptions<L>) {
      const { collect } = options;
      if (collect === undefined) return new Gauge<L>(common(options));
      return new Gauge<L>({
        ...common(options),
        collect() {
          collect(this);
        },
      });
    },
    histogram<L extends string>(options: HistogramOptions<L>) {
      const buckets = options.buckets === undefined ? {} : { buckets: [...options.buckets] };
      return new Histogram<L>({ ...common(options), ...buckets });
    },
    text: () => registry.metrics(),
    contentType: registry.contentType,
  };
}
